"""Queries and outgoing requests as breadcrumbs of an error in their request."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.trace import Event, ReadableSpan, Span, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode, set_span_in_context

from e2e.receiver import Receiver
from leaks import shows
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.sentry.active_roots import ActiveRoots
from mita_otel.sentry.breadcrumbs import Steps
from mita_otel.sentry.mapping.issue_event import recorded_exception
from mita_otel.sentry.mapping.span_tree import Tree
from mita_otel.sentry.protocols import Transactions
from sentry.spans import START_NS, make, query, server
from sentry.wire import WireLink


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


TRACER = TracerProvider(shutdown_on_exit=False).get_tracer("test")


class Trace:
    """An active request, and its steps."""

    def __init__(self, max_steps: int = 10, max_traces: int = 10) -> None:
        self.roots = ActiveRoots(10, 10)
        redactor = Redactor(default_policy().redaction)
        self.steps = Steps(self.roots, redactor, max_traces=max_traces, max_steps=max_steps)
        root = TRACER.start_span("GET /", kind=SpanKind.SERVER)
        assert isinstance(root, Span)
        self.root = root
        self.roots.started(self.root)
        self.trace_id = root.get_span_context().trace_id

    def ended(self, *spans: ReadableSpan) -> None:
        for span in spans:
            self.steps.ended(span)

    def end(self) -> None:
        self.root.end()
        self.roots.ended(self.root)
        self.steps.ended(self.root)

    def crumbs(self) -> list[dict[str, Any]]:
        return self.steps.redacted(self.steps.of(self.trace_id))


def outgoing(span_id: int, trace_id: int, **attributes: Any) -> ReadableSpan:
    said = {
        "http.request.method": "GET",
        "url.full": "https://rates.example/eur?token=tok-qW8xZr2LmN5v",
        "http.response.status_code": 502,
        **attributes,
    }
    return make(
        span_id,
        1,
        trace_id=trace_id,
        name="GET",
        kind=SpanKind.CLIENT,
        attributes=said,
        status=StatusCode.ERROR,
        at_ms=(1, 26),
    )


def test_a_query_and_a_request_are_redacted_breadcrumbs_in_order() -> None:
    trace = Trace()
    literal = {"db.query.text": "SELECT id FROM cards WHERE number = '5555555555554444'"}
    trace.ended(
        query(2, 1, trace_id=trace.trace_id, attributes=literal, at_ms=(0, 1.5)),
        make(3, 1, trace_id=trace.trace_id, name="work"),
        outgoing(4, trace.trace_id),
    )
    first, second = trace.crumbs()
    assert (first["type"], first["category"], first["level"]) == ("query", "query", "info")
    assert first["message"].startswith("SELECT id FROM cards WHERE number = ")
    assert first["data"] == {"duration_ms": 1.5, "status": "ok", "span_id": "0000000000000002"}
    assert first["timestamp"] == START_NS / 1e9 + 0.0015
    assert (second["type"], second["category"], second["level"]) == ("http", "http", "error")
    assert second["data"]["status_code"] == 502
    assert second["data"]["method"] == "GET"
    assert second["data"]["duration_ms"] == 25
    assert not shows([first, second], "5555555555554444")
    assert "qW8xZr2LmN5v" not in str([first, second])


def test_steps_are_kept_only_while_their_request_is_active() -> None:
    trace = Trace()
    trace.ended(query(2, 1, trace_id=trace.trace_id + 1))
    assert trace.steps.of(trace.trace_id + 1) == []
    trace.ended(query(3, 1, trace_id=trace.trace_id))
    assert len(trace.crumbs()) == 1
    trace.end()
    assert trace.crumbs() == []
    trace.ended(query(4, 1, trace_id=trace.trace_id))
    assert trace.crumbs() == []


def test_a_task_inside_a_request_does_not_end_its_steps() -> None:
    trace = Trace()
    trace.ended(query(2, 1, trace_id=trace.trace_id))
    task = TRACER.start_span("task", set_span_in_context(trace.root), kind=SpanKind.CONSUMER)
    task.end()
    trace.ended(task)  # type: ignore[arg-type]
    assert len(trace.crumbs()) == 1


def test_the_newest_steps_are_kept() -> None:
    trace = Trace(max_steps=3, max_traces=1)
    trace.ended(*(query(one, 1, trace_id=trace.trace_id) for one in range(2, 8)))
    assert [one["data"]["span_id"][-1] for one in trace.crumbs()] == ["5", "6", "7"]
    other = TRACER.start_span("GET /other", kind=SpanKind.SERVER)
    trace.roots.started(other)  # type: ignore[arg-type]
    trace.ended(query(9, 1, trace_id=other.get_span_context().trace_id))
    assert trace.crumbs() == []


def test_a_transactions_breadcrumbs_are_the_events_of_its_spans(receiver: Receiver) -> None:
    link = WireLink(receiver)
    said = {"mita.breadcrumb.message": "approved", "mita.breadcrumb.category": "payment"}
    at = START_NS + 1_000_000
    child = make(
        2,
        1,
        events=[
            Event("mita.breadcrumb", {**said, "mita.breadcrumb.data.by": "rule 7"}, at + 1),
            Event("exception", {"exception.type": "ValueError"}, at),
        ],
    )
    root = server(1, events=[Event("cache.miss", {"of": "rates"}, at)])
    Transactions(link.policy, link, link.losses).send([Tree(root, [child])])  # type: ignore[arg-type]
    link.transport.flush(10)
    [transaction] = receiver.transactions
    missed, approved = transaction["breadcrumbs"]["values"]
    assert missed["category"] == missed["message"] == "cache.miss"
    assert missed["data"] == {"of": "rates"}
    assert (approved["category"], approved["message"], approved["data"]) == (
        "payment",
        "approved",
        {"by": "rule 7"},
    )


def test_a_recorded_exceptions_breadcrumbs_are_the_events_before_it() -> None:
    recorded = Event("exception", {"exception.type": "ValueError"}, START_NS + 5)
    span = make(1, events=[Event("before", {}, START_NS), recorded, Event("after", {}, START_NS + 9)])
    crumbs = recorded_exception(span, recorded)["breadcrumbs"]["values"]
    assert [one["message"] for one in crumbs] == ["before"]
