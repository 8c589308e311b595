"""Metrics are redacted for exporters and pull readers; equal points are merged."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricReader,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.metrics.view import ExponentialBucketHistogramAggregation, View
from opentelemetry.sdk.resources import Resource

from mita_otel.processors.metric_redaction import MetricRedaction, RedactedMetricExporter, redact_reader
from mita_otel.redaction import Redactor

CARD = "4111111111111111"
OTHER = "5555555555554444"


class Kept(MetricExporter):
    def __init__(self) -> None:
        super().__init__()
        self.data: list[MetricsData] = []
        self.calls: list[str] = []

    def export(
        self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any
    ) -> MetricExportResult:
        self.data.append(metrics_data)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        self.calls.append("force_flush")
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        self.calls.append("shutdown")


def points(data: MetricsData | None) -> list[Any]:
    assert data is not None
    return [
        point
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    ]


def provider(reader: MetricReader, views: Any = ()) -> MeterProvider:
    return MeterProvider(
        [reader], resource=Resource({"deployment.password": "hunter2x"}), shutdown_on_exit=False, views=views
    )


def test_names_descriptions_attributes_and_resource_are_redacted() -> None:
    exporter = Kept()
    meters = provider(PeriodicExportingMetricReader(RedactedMetricExporter(Redactor(), exporter), 3_600_000))
    meter = meters.get_meter("pay", attributes={"api_key": "k9k9"})
    meter.create_counter(f"card_{CARD}", description=f"of {CARD}").add(2, {"card": CARD, "region": "eu"})
    meters.force_flush()
    meters.shutdown()
    shown = exporter.data[0].to_json()
    for secret in (CARD, "hunter2x", "k9k9"):
        assert secret not in shown
    assert "region" in shown
    assert exporter.calls == ["force_flush", "shutdown"]


def test_metrics_of_a_pull_reader_are_redacted() -> None:
    reader = redact_reader(Redactor(), InMemoryMetricReader())
    provider(reader).get_meter("pay").create_gauge("g").set(1, {"note": f"card {CARD}"})
    assert isinstance(reader, InMemoryMetricReader)
    [point] = points(reader.get_metrics_data())
    assert point.attributes == {"note": "card [redacted:pan]"}


def test_points_with_equal_redacted_attributes_are_added() -> None:
    reader = InMemoryMetricReader()
    meter = provider(reader).get_meter("pay")
    counter, gauge, histogram = (
        meter.create_counter("c"),
        meter.create_gauge("g"),
        meter.create_histogram("h", explicit_bucket_boundaries_advisory=[10.0]),
    )
    for number, card in ((3, CARD), (40, OTHER)):
        counter.add(number, {"card": card})
        gauge.set(number, {"card": card})
        histogram.record(number, {"card": card})
    counter.add(7, {"region": "eu"})
    safe = MetricRedaction(Redactor())(reader.get_metrics_data())  # type: ignore[arg-type]
    total, other, latest, spread = points(safe)
    assert (total.value, other.value, latest.value) == (43, 7, 40)
    assert (spread.count, spread.sum, spread.bucket_counts, spread.min, spread.max) == (2, 43, [1, 1], 3, 40)


def test_exponential_histograms_are_not_merged() -> None:
    reader = InMemoryMetricReader()
    views = [View(instrument_name="h", aggregation=ExponentialBucketHistogramAggregation())]
    histogram = provider(reader, views).get_meter("pay").create_histogram("h")
    for card in (CARD, OTHER):
        histogram.record(1, {"card": card})
    assert [p.count for p in points(MetricRedaction(Redactor())(reader.get_metrics_data()))] == [1, 1]  # type: ignore[arg-type]


def test_metrics_without_a_secret_are_unchanged() -> None:
    reader = InMemoryMetricReader()
    meter = MeterProvider([reader], resource=Resource({"service.name": "pay"})).get_meter("pay")
    meter.create_counter("c", unit="1", description="d").add(1, {"region": "eu"})
    data = reader.get_metrics_data()
    assert data is not None
    safe = MetricRedaction(Redactor())(data)
    assert safe is not None
    assert safe.to_json() == data.to_json()


def test_metrics_that_cannot_be_redacted_are_not_exported(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def explode(self: Redactor, *args: Any) -> Any:
        raise RuntimeError(CARD)

    monkeypatch.setattr(Redactor, "attributes", explode)
    exporter = Kept()
    reader = InMemoryMetricReader()
    provider(reader).get_meter("pay").create_counter("c").add(1, {"card": CARD})
    data = reader.get_metrics_data()
    assert data is not None
    with caplog.at_level(logging.WARNING, "mita_otel"):
        assert RedactedMetricExporter(Redactor(), exporter).export(data) is MetricExportResult.FAILURE
    assert exporter.data == []
    assert "RuntimeError" in caplog.text
    assert CARD not in caplog.text
