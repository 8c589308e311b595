"""Metrics respect deadlines and never raise."""

from __future__ import annotations

import threading
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    PeriodicExportingMetricReader,
)

from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.metric_stage import MetricStage
from mita_otel.processors.queues.stage import deadline_in


class Exporter(MetricExporter):
    """Counts, hangs or fails."""

    def __init__(self, release: threading.Event | None = None, error: Exception | None = None) -> None:
        super().__init__()
        self.exports = 0
        self.shut_down = threading.Event()
        self._release = release
        self._error = error

    def export(self, metrics_data: Any, timeout_millis: float = 0, **kwargs: Any) -> MetricExportResult:
        self.exports += 1
        if self._release is not None:
            self._release.wait(60)
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        if self._error is not None:
            raise self._error
        return True

    def shutdown(self, timeout_millis: float = 0, **kwargs: Any) -> None:
        self.shut_down.set()


def metrics(exporter: Exporter) -> MetricStage:
    reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
    provider = MeterProvider([reader], shutdown_on_exit=False)
    provider.get_meter("t").create_counter("c").add(1)
    return MetricStage(provider, Losses(cool_down_s=60), stop_timeout_s=5)


def test_a_flush_exports_and_a_shutdown_ends() -> None:
    exporter = Exporter()
    ours = metrics(exporter)
    assert ours.flush(deadline_in(60_000))
    assert exporter.exports == 1
    ours.close()
    assert exporter.shut_down.is_set()


def test_a_hanging_exporter_does_not_delay_the_caller() -> None:
    release = threading.Event()
    exporter = Exporter(release)
    ours = metrics(exporter)
    assert ours.flush(deadline_in(50)) is False
    assert ours.flush(deadline_in(60_000)) is False, "at once: the first still hangs"
    ours.close()
    release.set()
    assert exporter.shut_down.wait(60)


def test_an_exception_of_the_provider_makes_the_flush_return_false() -> None:
    ours = metrics(Exporter(error=ConnectionError("down")))
    assert ours.flush(deadline_in(5000)) is False
    ours.close()


def test_a_flush_without_time_left_returns_false() -> None:
    ours = MetricStage(
        MeterProvider([InMemoryMetricReader()], shutdown_on_exit=False),
        Losses(cool_down_s=60),
        stop_timeout_s=5,
    )
    assert ours.flush(deadline_in(60_000))
    ours.flush(deadline_in(0))
    ours.close()
