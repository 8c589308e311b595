"""Flushes metrics within a deadline. OpenTelemetry's provider alone waits for the network of its exporters."""

from __future__ import annotations

import logging
from typing import ClassVar, Final

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import MetricExporter, PeriodicExportingMetricReader

from mita_otel.errors import raise_interrupt
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")

_STAGE: Final = "metrics"
"""The stage for losses."""


class PeriodicReader(PeriodicExportingMetricReader):
    """Exports metrics regularly. Its thread survives every exception of an application's callback.

    Args:
        exporter: Receives the metrics.
        losses: Counts a collection that failed.
    """

    def __init__(self, exporter: MetricExporter, losses: Losses) -> None:
        self._losses = losses
        super().__init__(exporter)

    def collect(self, timeout_millis: float = 10_000) -> None:  # type: ignore[misc]
        """Collect and export."""
        try:
            super().collect(timeout_millis)
        except BaseException as error:
            raise_interrupt(error)
            if isinstance(error, Exception):
                raise  # the SDK logs it
            self._losses.add(_STAGE, "callback_failed")
            _logger.debug("a collection of metrics failed", exc_info=True)


class MetricStage(Stage):
    """Flushes and closes a MeterProvider on a separate thread, so that the caller waits until its deadline at most.

    The provider itself waits for an exporter's retries and raises its errors.

    Args:
        provider: The provider.
        losses: Counts a last collection that was not exported.
        stop_timeout_s: Seconds that the provider's shutdown may take.
    """

    counts_losses: ClassVar[bool] = True

    def __init__(self, provider: MeterProvider, losses: Losses, *, stop_timeout_s: float) -> None:
        self._provider = provider
        self._losses = losses
        self._stop_timeout_s = stop_timeout_s
        self._late = False
        self._counted = False
        self._flushed = True
        self._flushing = False
        self._worker: BoundedWorker[None] = BoundedWorker(
            lambda batch: None,
            name="mita-otel-metrics",
            max_items=1,
            max_batch=1,
            delay_s=1,
            on_flush=self._flush,
            on_stop=provider.shutdown,
        )

    def start(self) -> None:
        """Start the thread. An interpreter that exits cannot start one."""
        self._worker.start()

    def flush(self, deadline_s: float) -> bool:
        """Collect and export. Returns False if that failed, missed the deadline, or an earlier flush still runs."""
        self._late = self._flushing or not self._worker.flush(seconds_left(deadline_s))
        return self._flushed and not self._late

    def abandon(self) -> None:
        """Count the last collection as lost if it was not exported."""
        if self._late and not self._counted:
            self._counted = True
            self._losses.add(_STAGE, DEADLINE_PASSED)

    def close(self) -> None:
        """Shut the provider down. After a flush that missed its deadline, this does not wait."""
        self._worker.stop(0 if self._flushing or self._late else self._stop_timeout_s)

    def _flush(self, left_s: float) -> None:
        self._flushing = True
        try:
            self._flushed = bool(self._provider.force_flush(max(1, int(left_s * 1000))))
        except BaseException as error:  # noqa: BLE001 - a reader may raise anything
            raise_interrupt(error)
            self._flushed = False
            _logger.debug("metrics could not be flushed: %s", error)
        finally:
            self._flushing = False
