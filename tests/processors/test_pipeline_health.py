"""Collected metrics of the pipeline: queues, sampling, redactions, exports, burn rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader, NumberDataPoint
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, set_span_in_context

from mita_otel.exporters.memory import MemorySpanExporter
from mita_otel.policy import default_policy
from mita_otel.processors.pipeline import Measurements, Pipeline
from mita_otel.processors.pipeline_health import PipelineHealth
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.samplers import RecordEverything
from mita_otel.redaction import Redactor

POLICY = default_policy()
START = 10**18


class Failing(SpanExporter):
    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise ConnectionError("down")


def collect(reader: InMemoryMetricReader) -> dict[str, dict[tuple[Any, ...], Any]]:
    """Return each metric's points: the values of their attributes, and the value or count."""
    data = reader.get_metrics_data()
    found: dict[str, dict[tuple[Any, ...], Any]] = {}
    for resource in data.resource_metrics if data else []:
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                for point in metric.data.data_points:
                    key = tuple((point.attributes or {}).values())
                    found.setdefault(metric.name, {})[key] = (
                        point.value if isinstance(point, NumberDataPoint) else point.count
                    )
    return found


@pytest.mark.usefixtures("isolated_telemetry")
def test_all_metrics_of_the_pipeline_are_collected() -> None:
    reader = InMemoryMetricReader()
    metrics.set_meter_provider(MeterProvider([reader], shutdown_on_exit=False))
    losses, redactor = Losses(cool_down_s=60), Redactor(POLICY.redaction)
    measurements = Measurements(POLICY, redactor.text, losses, tail=True, metrics_active=lambda: True, env={})
    pipeline = Pipeline(
        POLICY,
        redactor,
        [("memory", MemorySpanExporter(1000)), ("failing", Failing())],
        losses,
        measurements,
        tail=True,
    )
    PipelineHealth().watch(pipeline, measurements.ledger, POLICY.export.queue)
    provider = TracerProvider(sampler=RecordEverything(), shutdown_on_exit=False)
    provider.add_span_processor(pipeline.first)
    tracer = provider.get_tracer("t")
    attributes: dict[str, str | int] = {
        "http.request.method": "GET",
        "http.route": "/a",
        "http.response.status_code": 500,
        "password": "hunter2",
    }
    for number in range(20):
        span = tracer.start_span("x", kind=SpanKind.SERVER, attributes=attributes, start_time=START)
        span.end(START + (600 if number < 5 else 10) * 1_000_000)
    root = tracer.start_span("runs")
    tracer.start_span("child", context=set_span_in_context(root)).end()
    assert provider.force_flush(60_000)
    found = collect(reader)

    assert found["mita.sampling.traces"] == {(True, "breach"): 5, (True, "error"): 15}
    assert found["mita.sampling.spans"] == {(True,): 20}
    assert found["mita.sampling.early"] == {(): 0}
    assert found["mita.sampling.held.traces"] == {(): 1}
    assert found["mita.sampling.held.spans"] == {(): 1}
    assert found["mita.sampling.held.bytes"][()] > 500
    assert found["mita.redaction.values"] == {("password",): 20}
    assert found["mita.latency.breaches"] == {("api", "api.methods.GET"): 5}
    assert found["mita.latency.checked"] == {("api.methods.GET", "false"): 15, ("api.methods.GET", "true"): 5}
    assert found["mita.latency.burn_rate"]["api.methods.GET", "fast", "long"] == pytest.approx(25)
    assert found["otel.sdk.processor.span.queue.size"] == {
        ("mita_pipeline_queue", "pipeline"): 0,
        ("mita_export_queue", "memory"): 0,
        ("mita_export_queue", "failing"): 0,
    }
    assert found["otel.sdk.processor.span.queue.capacity"]["mita_pipeline_queue", "pipeline"] == 8192
    assert found["otel.sdk.exporter.span.exported"] == {
        ("mita_export_queue", "memory"): 20,
        ("mita_export_queue", "failing", "ConnectionError"): 20,
    }
    assert set(found["otel.sdk.exporter.operation.duration"]) == set(found["otel.sdk.exporter.span.exported"])
    assert found["mita.pipeline.dropped"] == {("exporter.failing", "exporter_failed"): 20}
    assert found["http.server.request.duration"] == {("GET", "/a", 500, "_OTHER"): 20}
    root.end()
    provider.shutdown()
