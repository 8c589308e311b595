"""Too many equal statements under one parent mark the parent, and are counted and logged."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

from mita_otel import semconv
from mita_otel.policy import default_policy
from mita_otel.policy.conversion import convert
from mita_otel.policy.thresholds import ThresholdPolicy
from mita_otel.processors.repeated_queries import RepeatedQueriesProcessor


class Bench:
    def __init__(self, max_repeats: int | str = 10) -> None:
        tree = default_policy().thresholds.to_dict()
        tree["repeated_queries"]["max_repeats"] = max_repeats
        self.exporter, self.reader = InMemorySpanExporter(), InMemoryMetricReader()
        meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(
            RepeatedQueriesProcessor(
                convert(ThresholdPolicy, tree),
                SimpleSpanProcessor(self.exporter),
                meter=meters.get_meter("t"),
            )
        )
        self.tracer = self.provider.get_tracer("t")

    def request(self, queries: int, table: str = "budgets") -> ReadableSpan:
        attributes = {"http.request.method": "GET", "http.route": "/api/budgets"}
        with self.tracer.start_as_current_span(
            "GET /api/budgets", kind=SpanKind.SERVER, attributes=attributes
        ):
            for number in range(queries):
                query: dict[str, Any] = {
                    "db.system.name": "sqlite",
                    "db.query.text": f"SELECT sum(x) FROM {table} WHERE id = {number}",
                }
                with self.tracer.start_as_current_span("SELECT", kind=SpanKind.CLIENT, attributes=query):
                    pass
        return self.exporter.get_finished_spans()[-1]

    def counts(self) -> dict[Any, Any]:
        data = self.reader.get_metrics_data()
        return {
            tuple(sorted((point.attributes or {}).items())): point.value  # type: ignore[union-attr]
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            for point in metric.data.data_points
        }


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.provider.shutdown()


def test_repeated_statements_mark_the_parent_with_the_statement_and_an_event(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    span = bench.request(11)
    attributes = dict(span.attributes or {})
    assert attributes[semconv.REPEATED_QUERIES] == 11
    assert attributes[semconv.REPEATED_QUERIES_MAX] == 10
    assert attributes[semconv.REPEATED_QUERIES_STATEMENT] == "SELECT sum(x) FROM budgets WHERE id = ?"
    took_ms = attributes[semconv.REPEATED_QUERIES_MS]
    assert isinstance(took_ms, float) and took_ms > 0
    assert semconv.LATENCY_EXCEEDED not in attributes, "no limit in milliseconds was broken"
    [event] = span.events
    assert event.name == "mita.latency.breach"
    assert (event.attributes or {})["mita.latency.rule"] == "repeated_queries.max_repeats"
    assert bench.counts() == {(("kind", "database"), ("rule", "repeated_queries.max_repeats")): 1}
    assert "GET /api/budgets ran the same statement 11 times, limit 10" in caplog.text


def test_the_allowed_number_of_statements_is_not_a_breach(bench: Bench) -> None:
    span = bench.request(10)
    assert semconv.REPEATED_QUERIES not in (span.attributes or {})
    assert bench.counts() == {}


def test_the_check_can_be_disabled() -> None:
    bench = Bench("off")
    assert semconv.REPEATED_QUERIES not in (bench.request(50).attributes or {})
    bench.provider.shutdown()


def test_counts_of_a_parent_are_removed_when_it_ends(bench: Bench) -> None:
    for _ in range(5):
        bench.request(3)
    processor = bench.provider._active_span_processor._span_processors[0]
    assert isinstance(processor, RepeatedQueriesProcessor)
    assert len(processor._counter) == 0


def test_no_value_of_a_statement_is_in_the_mark(bench: Bench) -> None:
    span = bench.request(11, "cards WHERE pan = '4111111111111111' AND 1")
    assert "4111111111111111" not in str(span.attributes)
