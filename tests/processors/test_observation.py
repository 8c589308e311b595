"""Durations are recorded as metrics before sampling, unless the instrumentation emits the same metric."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry.sdk.metrics import AlwaysOnExemplarFilter, MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.id_generator import RandomIdGenerator
from opentelemetry.trace import SpanKind

from mita_otel.latency.measures import BUCKETS_S
from mita_otel.policy import default_policy
from mita_otel.processors.observation import DurationMetrics
from mita_otel.processors.samplers import RecordEverything
from mita_otel.processors.sampling.consistent import randomness_of, threshold_of
from mita_otel.processors.tail_sampling import TailSampler
from mita_otel.processors.threshold import ThresholdProcessor
from processors.queues.test_queues import Broken

POLICY = default_policy()
START = 10**18
REQUEST = {"http.request.method": "GET", "http.route": "/a"}


class Nothing(Broken):
    """Discards all spans."""

    def on_start(self, span: Any, parent_context: Any = None) -> None: ...
    def on_end(self, span: Any) -> None: ...
    def shutdown(self) -> None: ...


class Bench:
    def __init__(self, **options: Any) -> None:
        self.reader = InMemoryMetricReader()
        meters = MeterProvider(
            [self.reader], exemplar_filter=AlwaysOnExemplarFilter(), shutdown_on_exit=False
        )
        options.setdefault("env", {})
        metrics = DurationMetrics(meter=meters.get_meter("t"), **options)
        self.sampler = TailSampler(POLICY.sampling, Nothing())
        self.provider = TracerProvider(
            sampler=RecordEverything(), id_generator=RandomIdGenerator(), shutdown_on_exit=False
        )
        self.provider.add_span_processor(
            ThresholdProcessor(
                POLICY.thresholds, self.sampler, meter=meters.get_meter("t"), observers=[metrics]
            )
        )

    def span(
        self, attributes: dict[str, Any], scope: str = "t", kind: SpanKind = SpanKind.SERVER, ms: int = 20
    ) -> None:
        tracer = self.provider.get_tracer(scope)
        span = tracer.start_span("x", kind=kind, attributes=attributes, start_time=START)
        span.end(START + ms * 1_000_000)

    def points(self, name: str) -> list[HistogramDataPoint]:
        data = self.reader.get_metrics_data()
        return [
            point
            for resource in (data.resource_metrics if data else [])
            for scope in resource.scope_metrics
            for metric in scope.metrics
            if metric.name == name
            for point in metric.data.data_points
            if isinstance(point, HistogramDataPoint)
        ]


@pytest.fixture
def bench() -> Iterator[Bench]:
    bench = Bench()
    yield bench
    bench.provider.shutdown()


def test_counts_include_spans_that_are_not_sampled(bench: Bench) -> None:
    for _ in range(500):
        bench.span(REQUEST)
    [point] = bench.points("http.server.request.duration")
    assert point.count == 500
    assert point.sum == pytest.approx(500 * 0.02)
    assert tuple(point.explicit_bounds) == BUCKETS_S
    assert bench.sampler.held.spans[True] < 250


@pytest.mark.parametrize(
    ("scope", "opt_in", "kind", "emitted"),
    [
        ("fastapi", "", SpanKind.SERVER, False),
        ("opentelemetry.instrumentation.fastapi", "", SpanKind.SERVER, True),
        ("opentelemetry.instrumentation.fastapi", "http", SpanKind.SERVER, False),
        ("opentelemetry.instrumentation.asgi", "database, http/dup", SpanKind.SERVER, False),
        ("opentelemetry.instrumentation.httpx", "http", SpanKind.CLIENT, False),
        ("opentelemetry.instrumentation.httpx", "", SpanKind.CLIENT, True),
        ("some.other", "http", SpanKind.SERVER, True),
    ],
)
def test_a_metric_that_the_instrumentation_emits_is_not_recorded_twice(
    scope: str, opt_in: str, kind: SpanKind, emitted: bool
) -> None:
    bench = Bench(env={"OTEL_SEMCONV_STABILITY_OPT_IN": opt_in})
    bench.span(REQUEST, scope, kind)
    name = "http.server.request.duration" if kind is SpanKind.SERVER else "http.client.request.duration"
    assert bool(bench.points(name)) is emitted
    bench.provider.shutdown()


def test_database_durations_are_recorded_even_if_requests_are_not(bench: Bench) -> None:
    query = {"db.system": "sqlite", "db.statement": "SELECT 1"}
    bench.span(query, "mita_otel.instrumentation.sqlalchemy", SpanKind.CLIENT)
    [point] = bench.points("db.client.operation.duration")
    assert dict(point.attributes or {}) == {"db.system.name": "sqlite", "db.operation.name": "SELECT"}


def test_nothing_is_recorded_while_metrics_are_not_collected() -> None:
    bench = Bench(active=lambda: False)
    bench.span(REQUEST)
    assert bench.points("http.server.request.duration") == []
    bench.provider.shutdown()


def test_exemplars_link_to_kept_traces() -> None:
    threshold = threshold_of(0.1)
    bench = Bench(
        exemplified=lambda span: randomness_of(span.context.trace_id).passes(threshold)  # type: ignore[union-attr]
    )
    for _ in range(300):
        bench.span(REQUEST)
    bench.span(REQUEST, ms=700)
    [point] = bench.points("http.server.request.duration")
    traces = [one.trace_id for one in point.exemplars if one.trace_id]
    slow = [one for one in point.exemplars if one.value == pytest.approx(0.7)]
    assert len(slow) == 1 and slow[0].trace_id
    quick = [trace for trace in traces if trace != slow[0].trace_id]
    assert all(randomness_of(trace).passes(threshold) for trace in quick)
    bench.provider.shutdown()


def test_a_breach_is_in_the_histogram_of_overruns_with_its_trace(bench: Bench) -> None:
    bench.span(REQUEST, ms=700)
    [point] = bench.points("mita.latency.overrun")
    assert (point.count, point.sum) == (1, pytest.approx(0.2))
    assert dict(point.attributes or {}) == {"kind": "api", "rule": "api.methods.GET"}
    assert point.exemplars[0].trace_id
