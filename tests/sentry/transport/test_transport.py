"""The transport with a failing backend does not block, is bounded in memory, and counts every loss."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from sentry_sdk.envelope import Envelope, Item

from e2e.receiver import Receiver
from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import Losses
from mita_otel.sentry.transport.envelope_items import SpansItem
from mita_otel.sentry.transport.transport import SentryTransport


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


class Sender:
    def __init__(self, receiver: Receiver, **changes: Any) -> None:
        self.losses = Losses(cool_down_s=3600)
        policy = default_policy().sentry.replace(**{"send_timeout_s": 1.0, **changes})
        self.transport = SentryTransport({"dsn": receiver.dsn}, policy, self.losses)
        receiver.on_close.append(self.transport.kill)

    def transaction(self, spans: int = 3, *, important: bool = False) -> None:
        payload = json.dumps({"type": "transaction", "transaction": "t", "spans": []}).encode()
        item = SpansItem(payload, type="transaction", spans=spans, important=important)
        self.transport.capture_envelope(Envelope({"event_id": "a" * 32}, [item]))

    def error(self) -> None:
        self.transport.capture_envelope(Envelope({"event_id": "b" * 32}, [Item(b"{}", type="event")]))

    def flush(self, *, ending: bool = False) -> None:
        self.transport.ending = ending
        self.transport.flush(60)

    @property
    def lost(self) -> dict[str, int]:
        return {f"{stage}/{reason}": count for (stage, reason), count in self.losses.counts().items()}


def report(receiver: Receiver) -> dict[tuple[str, str], int]:
    return {
        (one["reason"], one["category"]): one["quantity"]
        for item in receiver.client_reports
        for one in item["discarded_events"]
    }


def test_queued_items_arrive_and_no_loss_is_counted(receiver: Receiver) -> None:
    sender = Sender(receiver)
    for _ in range(20):
        sender.transaction()
    sender.error()
    sender.flush(ending=True)
    assert (len(receiver.transactions), len(receiver.events)) == (20, 1)
    assert sender.lost == {}
    assert receiver.client_reports == []
    assert receiver.requests[0].headers["Content-Encoding"] == "gzip"


def test_sent_at_is_the_time_of_sending(receiver: Receiver) -> None:
    sender = Sender(receiver)
    sender.transaction()
    sender.flush()
    header = json.loads(receiver.requests[0].body.split(b"\n")[0])
    sent = datetime.fromisoformat(header["sent_at"])
    assert abs(datetime.now(UTC) - sent) < timedelta(minutes=1)


@pytest.mark.parametrize("behaviour", [400, 403, 413, 500, 502, 503, "cut"])
def test_a_refused_envelope_is_counted_once_locally_and_in_the_report(
    receiver: Receiver, behaviour: Any
) -> None:
    sender = Sender(receiver)
    receiver.behaviour = behaviour
    sender.transaction(5)
    sender.error()
    sender.flush()
    reason = "send_error" if behaviour == 413 else "network_error"
    assert sender.lost == {f"sentry/{reason}": 5, f"sentry.other/{reason}": 1}
    receiver.behaviour = "ok"
    sender.flush(ending=True)
    assert report(receiver) == {(reason, "transaction"): 1, (reason, "span"): 5, (reason, "error"): 1}


def test_an_accepted_envelope_with_a_truncated_response_is_not_a_loss(
    receiver: Receiver,
) -> None:
    sender = Sender(receiver)
    receiver.behaviour = "reset"  # after "200 OK"
    sender.transaction()
    sender.flush()
    receiver.behaviour = "ok"
    sender.transaction()
    sender.flush()
    assert sender.lost == {}
    assert len(receiver.transactions) == 1


@pytest.mark.parametrize("behaviour", ["refuse", "hang"])
def test_items_for_a_dead_backend_are_counted_after_the_timeout(receiver: Receiver, behaviour: str) -> None:
    sender = Sender(receiver, send_timeout_s=0.2)
    if behaviour == "refuse":
        receiver.refuse()
    else:
        receiver.behaviour = "hang"
    for _ in range(4):
        sender.transaction(2)
    sender.flush()
    assert sender.lost == {"sentry/network_error": 8}


LIMITS: dict[str, tuple[int, dict[str, str], bool, bool]] = {
    # response, headers; whether the next transaction and the next error are dropped
    "429, seconds": (429, {"Retry-After": "60"}, True, True),
    "429, a date": (429, {"Retry-After": "DATE"}, True, True),
    "429, nothing": (429, {}, True, True),
    "429, nonsense": (429, {"Retry-After": "soon"}, True, True),
    "transactions only": (429, {"X-Sentry-Rate-Limits": "60:transaction:key"}, True, False),
    "errors only": (429, {"X-Sentry-Rate-Limits": "60:error:organization"}, False, True),
    "several": (429, {"X-Sentry-Rate-Limits": "60:transaction;error:key, 2700:session:org"}, True, True),
    "everything": (429, {"X-Sentry-Rate-Limits": "60::organization"}, True, True),
    "with a good answer": (200, {"X-Sentry-Rate-Limits": "60:transaction:key"}, True, False),
    "over": (429, {"X-Sentry-Rate-Limits": "0:transaction:key"}, False, False),
    "header before Retry-After": (
        429, {"X-Sentry-Rate-Limits": "60:session:key", "Retry-After": "60"}, False, False),
    "nonsense in the header": (429, {"X-Sentry-Rate-Limits": "x:y:z,::,60"}, False, False),
}  # fmt: skip


@pytest.mark.parametrize(("status", "headers", "transaction", "error"), LIMITS.values(), ids=LIMITS.keys())
def test_rate_limits_of_every_form_are_respected(
    receiver: Receiver, status: int, headers: dict[str, str], transaction: bool, error: bool
) -> None:
    sender = Sender(receiver)
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=2), usegmt=True)
    receiver.answer_headers = {name: value.replace("DATE", date) for name, value in headers.items()}
    receiver.behaviour = status if status != 200 else "ok"
    sender.transaction(2)
    sender.flush()
    receiver.behaviour, receiver.answer_headers = "ok", {}
    before = len(receiver.requests)
    sender.transaction(3)
    sender.error()
    sender.flush()
    assert len(receiver.transactions) - (1 if status == 200 else 0) == (0 if transaction else 1)
    assert len(receiver.events) == (0 if error else 1)
    assert len(receiver.requests) - before == 2 - transaction - error
    expected = {
        **({"sentry/ratelimited": 2} if status == 429 else {}),
        **({"sentry/ratelimit_backoff": 3} if transaction else {}),
        **({"sentry.other/ratelimit_backoff": 1} if error else {}),
    }
    assert sender.lost == expected


def test_a_full_queue_keeps_breaches_and_errors(receiver: Receiver) -> None:
    sender = Sender(receiver, max_envelopes=4, senders=1, send_timeout_s=30)
    receiver.behaviour = "hang"
    sender.transaction(1, important=True)
    receiver.wait_for(lambda r: r.refused)  # it is being sent: the queue is empty again
    for _ in range(4):
        sender.transaction(10)
    for _ in range(3):
        sender.transaction(1, important=True)
    sender.error()
    assert sender.lost == {"sentry/queue_overflow": 40}
    receiver.behaviour = "ok"
    receiver.closing.set()
    sender.flush()
    assert (len(receiver.transactions), len(receiver.events)) == (4, 1), (
        "the first was cut off, and sent again"
    )
    assert sender.lost == {"sentry/queue_overflow": 40}


def test_items_waiting_when_the_client_closes_are_counted(receiver: Receiver) -> None:
    sender = Sender(receiver, senders=1, send_timeout_s=30)
    receiver.behaviour = "hang"
    sender.transaction(1)
    receiver.wait_for(lambda r: r.refused)
    sender.transaction(7)
    sender.transport.kill()
    assert sender.lost == {"sentry/shutdown_deadline": 8}


def test_a_closed_idle_connection_loses_nothing(receiver: Receiver) -> None:
    sender = Sender(receiver, senders=1)
    sender.transaction(1)
    sender.flush()
    receiver.drop_connections()
    sender.transaction(1)
    sender.flush()
    assert len(receiver.transactions) == 2
    assert sender.lost == {}


def test_items_abandoned_at_a_deadline_are_counted_once_by_type(receiver: Receiver) -> None:
    sender = Sender(receiver, senders=1, send_timeout_s=30)
    receiver.behaviour = "hang"
    sender.transaction(4)
    receiver.wait_for(lambda r: r.refused)
    sender.error()
    logs = Item(b"{}", {"item_count": 12}, type="log")
    sender.transport.capture_envelope(Envelope(items=[logs]))
    sender.transport.capture_otlp(b"x", spans=5, important=False)
    sender.transport.abandon()
    sender.transport.abandon()
    expected = {
        "sentry/shutdown_deadline": 9,
        "sentry.other/shutdown_deadline": 1,
        "sentry.logs/shutdown_deadline": 12,
    }
    assert sender.lost == expected
    receiver.close()  # the request in progress fails now
    sender.flush()
    assert sender.lost == expected


def test_delivered_items_are_not_counted_as_abandoned(receiver: Receiver) -> None:
    sender = Sender(receiver)
    sender.transaction(4)
    sender.error()
    sender.flush()
    sender.transport.abandon()
    assert sender.lost == {}


@pytest.mark.parametrize("reason", ["event_processor", "sample_rate"])
def test_an_event_dropped_by_the_service_is_reported_and_not_a_loss(receiver: Receiver, reason: str) -> None:
    sender = Sender(receiver)
    sender.transport.record_lost_event(reason, data_category="error")
    sender.flush(ending=True)
    assert sender.lost == {}
    assert report(receiver) == {(reason, "error"): 1}
