"""Data above Sentry's size limits loses its least important parts only, and records that."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope, Item, PayloadRef

from e2e.receiver import Receiver
from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import Losses
from mita_otel.sentry.mapping.span_tree import Tree
from mita_otel.sentry.protocols import Otlp, Spans, Transactions
from mita_otel.sentry.transport.envelope_items import fitted
from mita_otel.sentry.transport.transport import SentryTransport
from sentry.spans import BREACH, query, server
from sentry.wire import WireLink

MEBIBYTE = 1 << 20
SQL = "SELECT " + ", ".join(f"account.column_{number}" for number in range(150))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()
    assert not backend.bad, backend.bad


def repeated(count: int) -> Tree:
    """A request with a thousand queries."""
    children = [query(number + 2, 1, attributes={"db.query.text": SQL}) for number in range(count)]
    children[count // 2] = query(count + 2, 1, attributes={"db.query.text": SQL, **BREACH})
    return Tree(server(1), children)


def test_an_oversized_transaction_keeps_its_important_spans(receiver: Receiver) -> None:
    link = WireLink(receiver)
    Transactions(link.policy, link, link.losses).send([repeated(900)])  # type: ignore[arg-type]
    link.transport.flush(60)
    [transaction] = receiver.transactions
    [raw] = [item.payload for one in receiver.requests for item in one.items if item.type == "transaction"]
    assert len(raw) <= MEBIBYTE
    assert len(transaction["spans"]) > 300, "as many as fit"
    left_out = transaction["contexts"]["mita"]["spans_left_out"]
    assert left_out == 900 - len(transaction["spans"])
    assert link.losses.counts() == {("sentry", "too_many_spans"): left_out}
    assert any(span.get("tags") for span in transaction["spans"]), "the one over its limit"


def test_large_spans_arrive_complete_in_items_within_sentrys_limit(receiver: Receiver) -> None:
    link = WireLink(receiver)
    big = [query(number + 2, 1, attributes={"note": "x" * 32_000}) for number in range(500)]
    Spans(link.policy, link, link.losses).send([Tree(server(1), big)])  # type: ignore[arg-type]
    Otlp(link.policy, link, link.losses).send([Tree(server(1), big)])  # type: ignore[arg-type]
    link.transport.flush(60)
    assert len({one["span_id"] for one in receiver.streamed_spans}) == 501
    assert len({one["spanId"] for one in receiver.otlp_spans}) == 501
    assert max(len(one.body) for one in receiver.requests) < 12 * MEBIBYTE
    assert link.losses.counts() == {}


def frame(name: str, size: int) -> dict[str, Any]:
    return {"function": name, "filename": "app.py", "lineno": 1, "vars": {"body": "x" * size}}


def error(frames: int, size: int, **more: Any) -> dict[str, Any]:
    stack = {"frames": [frame(f"f{number}", size) for number in range(frames)]}
    return {
        "event_id": "a" * 32,
        "exception": {"values": [{"type": "LedgerError", "value": "no", "stacktrace": stack}]},
        "tags": {"severity": "critical"},
        "contexts": {"trace": {"trace_id": "b" * 32, "span_id": "c" * 16}},
        **more,
    }


@pytest.mark.parametrize(
    ("event", "left_out", "kept"),
    [
        (error(3, 10), None, "vars"),
        (error(30, 50_000), ["variables of outer frames"], "vars"),
        (error(1, 2_000_000), ["variables of outer frames", "variables"], "frames"),
        (
            error(3, 10, breadcrumbs={"values": [{"message": "x" * 50_000}] * 30}),
            ["variables of outer frames", "variables", "breadcrumbs"],
            "frames",
        ),
        (
            error(3, 10, request={"url": "/pay", "data": "x" * 2_000_000}, extra={"a": 1}),
            ["variables of outer frames", "variables", "breadcrumbs", "request and extra data"],
            "/pay",
        ),
        (
            error(3, 10, contexts={"trace": {"trace_id": "b" * 32}, "basket": {"all": "x" * 2_000_000}}),
            ["variables of outer frames", "variables", "breadcrumbs", "request and extra data", "contexts"],
            "trace_id",
        ),
    ],
)
def test_an_oversized_error_loses_its_least_informative_parts_first(
    event: dict[str, Any], left_out: list[str] | None, kept: str
) -> None:
    payload = fitted(event, MEBIBYTE)
    assert len(payload) <= MEBIBYTE
    sent = json.loads(payload)
    assert sent["contexts"].get("mita", {}).get("left_out") == left_out
    assert kept in payload.decode()
    assert sent["exception"]["values"][0]["type"] == "LedgerError"
    assert sent["tags"] == {"severity": "critical"}
    assert len(sent["exception"]["values"][0]["stacktrace"]["frames"]) >= 1


def test_a_text_of_several_megabytes_is_truncated() -> None:
    event = error(1, 10)
    event["exception"]["values"][0]["value"] = "x" * 3_000_000
    event["message"] = "y" * 3_000_000
    payload = fitted(event, MEBIBYTE)
    assert len(payload) <= MEBIBYTE
    sent = json.loads(payload)
    assert sent["exception"]["values"][0]["value"].startswith("xxx")
    assert sent["contexts"]["mita"]["left_out"][-1] == "long texts"


@pytest.mark.parametrize(
    "event",
    [{}, {"exception": None}, {"exception": {"values": [None, {"stacktrace": None}]}}, {"contexts": []}],
)
def test_malformed_events_can_be_reduced(event: Any) -> None:
    assert json.loads(fitted({**event, "note": "x" * 3_000_000}, MEBIBYTE)) is not None


def test_the_queue_counts_the_bytes_of_errors(receiver: Receiver) -> None:
    losses = Losses(cool_down_s=3600)
    policy = default_policy().sentry.replace(max_megabytes=1, senders=1, send_timeout_s=30.0)
    transport = SentryTransport({"dsn": receiver.dsn}, policy, losses)
    receiver.on_close.append(transport.kill)
    receiver.behaviour = "hang"

    def send() -> None:
        event = error(1, 400_000)
        item = Item(PayloadRef(json=event), type="event")
        transport.capture_envelope(Envelope({"event_id": "a" * 32}, [item]))

    send()
    receiver.wait_for(lambda r: r.refused)
    for _ in range(6):
        send()
    assert transport.queue.waiting == 2
    assert losses.counts() == {("sentry.other", "queue_overflow"): 4}
    receiver.closing.set()
    transport.kill()
