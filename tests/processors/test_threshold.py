"""A span above its limit is marked, counted and logged; other spans are unchanged."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, Status, StatusCode, Tracer, format_trace_id

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.processors.threshold import ThresholdProcessor

POLICY = default_policy().thresholds
START = 1_700_000_000_000_000_000
SECRET = "4111111111111111"


class Clock:
    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Bench:
    """A provider with the processor, and its output."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.exporter = InMemorySpanExporter()
        self.reader = InMemoryMetricReader()
        meters = MeterProvider(
            [self.reader], exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False
        )
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(
            ThresholdProcessor(
                POLICY, SimpleSpanProcessor(self.exporter), meter=meters.get_meter("t"), clock=self.clock
            )
        )
        self.tracer: Tracer = self.provider.get_tracer("t")

    def span(
        self,
        attributes: Mapping[str, Any],
        duration_ms: float,
        kind: SpanKind = SpanKind.INTERNAL,
        name: str = "x",
    ) -> ReadableSpan:
        """End a span, and return the exported span."""
        span = self.tracer.start_span(name, kind=kind, attributes=attributes, start_time=START)
        span.end(START + int(duration_ms * 1_000_000))
        return self.exporter.get_finished_spans()[-1]

    def points(self) -> list[NumberDataPoint]:
        data = self.reader.get_metrics_data()
        if data is None:
            return []
        return [
            point
            for resource in data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == semconv.LATENCY_COUNTER
            for point in metric.data.data_points
            if isinstance(point, NumberDataPoint)
        ]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.provider.shutdown()


BALANCE = {"http.request.method": "GET", "http.route": "/api/accounts/{id}/balance"}


def test_a_breach_marks_the_span_and_adds_an_event_at_its_end(bench: Bench) -> None:
    span = bench.span(BALANCE, 350.25, SpanKind.SERVER)
    marks = {
        "mita.latency.exceeded": True,
        "mita.latency.kind": "api",
        "mita.latency.rule": "api.financial.GET",
        "mita.latency.limit_ms": 300.0,
        "mita.latency.duration_ms": 350.25,
        "mita.latency.overrun_ms": 50.25,
    }
    assert dict(span.attributes or {}) == {**BALANCE, **marks}
    [event] = span.events
    assert (event.name, event.timestamp, dict(event.attributes or {})) == (
        "mita.latency.breach",
        span.end_time,
        marks,
    )


def test_marking_changes_nothing_else_in_the_span(bench: Bench) -> None:
    span = bench.tracer.start_span(
        "pay", attributes={"mita.operation": "payment_processing"}, start_time=START
    )
    span.add_event("charged", {"n": 1}, START + 1)
    span.set_status(Status(StatusCode.ERROR, "declined"))
    span.end(START + 1_300_000_000)
    [marked] = bench.exporter.get_finished_spans()
    assert marked.context == span.get_span_context()
    assert (marked.name, marked.start_time, marked.end_time) == ("pay", START, START + 1_300_000_000)
    assert (marked.status.status_code, marked.status.description) == (StatusCode.ERROR, "declined")
    assert [event.name for event in marked.events] == ["charged", "mita.latency.breach"]
    assert isinstance(span, ReadableSpan)
    assert semconv.LATENCY_EXCEEDED not in (span.attributes or {}), "a finished span is never mutated"


@pytest.mark.parametrize(
    ("attributes", "duration_ms", "kind"),
    [
        (BALANCE, 300, SpanKind.SERVER),
        ({"url.path": "/ws", "url.scheme": "ws"}, 900_000, SpanKind.SERVER),
        ({}, 900_000, SpanKind.INTERNAL),
    ],
    ids=["at its limit", "a websocket", "no kind"],
)
def test_a_span_without_a_breach_is_passed_on_as_the_same_object(
    bench: Bench, attributes: dict[str, Any], duration_ms: float, kind: SpanKind
) -> None:
    span = bench.tracer.start_span("x", kind=kind, attributes=attributes, start_time=START)
    span.end(START + int(duration_ms * 1_000_000))
    [passed] = bench.exporter.get_finished_spans()
    assert type(passed).__name__ == "ReadableSpan"
    assert semconv.LATENCY_EXCEEDED not in (passed.attributes or {})
    assert passed.events == ()
    assert bench.points() == []


@pytest.mark.parametrize(
    ("attributes", "name", "kind", "rule"),
    [
        (
            {"http.method": "POST", "http.route": "/api/transactions"},
            "POST",
            SpanKind.SERVER,
            "api.financial.POST",
        ),
        (
            {"http.request.method": "POST", "http.route": "/api/transactions"},
            "POST /api/transactions",
            SpanKind.SERVER,
            "api.financial.POST",
        ),
        (
            {"db.system": "sqlite", "db.statement": "select 1", "db.operation": "select bank"},
            "select bank",
            SpanKind.CLIENT,
            "database.SELECT",
        ),
        (
            {"db.system.name": "sqlite", "db.query.text": "WITH a AS (SELECT 1) DELETE FROM t"},
            "DELETE t",
            SpanKind.CLIENT,
            "database.DELETE",
        ),
        ({}, "BackgroundTask mail", SpanKind.INTERNAL, "background.default"),
        ({}, "fastapi.background_task", SpanKind.INTERNAL, "background.default"),
    ],
)
def test_spans_of_both_instrumentations_are_compared_with_limits(
    bench: Bench, attributes: dict[str, Any], name: str, kind: SpanKind, rule: str
) -> None:
    span = bench.span(attributes, 60_000, kind, name)
    assert (span.attributes or {})[semconv.LATENCY_RULE] == rule


def test_breaches_are_counted_by_kind_and_rule_with_the_trace_as_exemplar(bench: Bench) -> None:
    for duration_ms in (301, 302, 299):
        bench.span(BALANCE, duration_ms, SpanKind.SERVER)
    last = bench.span({"mita.operation": "payment_processing"}, 1201)
    points = {tuple(sorted((point.attributes or {}).items())): point for point in bench.points()}
    assert {key: point.value for key, point in points.items()} == {
        (("kind", "api"), ("rule", "api.financial.GET")): 2,
        (("kind", "financial"), ("rule", "financial.payment_processing")): 1,
    }
    [exemplar] = points[(("kind", "financial"), ("rule", "financial.payment_processing"))].exemplars
    assert last.context is not None
    assert (exemplar.trace_id, exemplar.span_id) == (last.context.trace_id, last.context.span_id)


def test_a_rule_is_logged_once_per_cool_down_and_the_next_line_counts_suppressed_ones(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    first = bench.span(BALANCE, 350, SpanKind.SERVER)
    assert first.context is not None
    for _ in range(3):
        bench.span(BALANCE, 360, SpanKind.SERVER)
    bench.span({"mita.operation": "payment_processing"}, 1300)
    bench.clock.now_s += POLICY.log.cool_down_s
    bench.span(BALANCE, 370, SpanKind.SERVER)
    lines = [record.getMessage() for record in caplog.records if record.name == "mita_otel.latency"]
    assert len(lines) == 3
    assert lines[0] == (
        "GET /api/accounts/{id}/balance took 350 ms, limit 300 ms "
        f"(rule api.financial.GET, trace {format_trace_id(first.context.trace_id)})"
    )
    assert lines[1].startswith("financial operation payment_processing took 1300 ms, limit 1200 ms")
    assert "370 ms" in lines[2]
    assert lines[2].endswith("; 3 more since the last line")


@pytest.mark.parametrize(
    ("attributes", "name", "kind"),
    [
        ({"http.request.method": "GET", "url.path": f"/a/{SECRET}"}, f"GET /a/{SECRET}", SpanKind.SERVER),
        ({"http.method": f"X{SECRET}", "http.route": "/a"}, "X", SpanKind.SERVER),
        (
            {"db.system": "sqlite", "db.statement": f"SELECT '{SECRET}'", "db.operation": f"SELECT {SECRET}"},
            f"SELECT {SECRET}",
            SpanKind.CLIENT,
        ),
        (
            {"mita.operation": f"pay {SECRET}", "mita.operation.category": "payment_processing"},
            f"pay {SECRET}",
            SpanKind.INTERNAL,
        ),
        (
            {"mita.operation": f"mail {SECRET}", "mita.operation.kind": "background"},
            f"mail {SECRET}",
            SpanKind.INTERNAL,
        ),
        ({}, f"BackgroundTask {SECRET}", SpanKind.INTERNAL),
    ],
)
def test_no_value_of_the_application_reaches_the_log_or_the_counter(
    bench: Bench,
    caplog: pytest.LogCaptureFixture,
    attributes: dict[str, Any],
    name: str,
    kind: SpanKind,
) -> None:
    caplog.set_level(logging.DEBUG)
    bench.span(attributes, 60_000, kind, name)
    assert "took 60000 ms" in caplog.text
    assert SECRET not in caplog.text
    [point] = bench.points()
    assert SECRET not in str(point.attributes)


def test_a_span_without_times_is_passed_on_unchanged() -> None:
    exporter = InMemorySpanExporter()
    span = ReadableSpan("x", kind=SpanKind.SERVER, attributes=BALANCE)
    assert ThresholdProcessor(POLICY, SimpleSpanProcessor(exporter)).process(span) is span
