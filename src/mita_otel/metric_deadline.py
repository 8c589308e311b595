"""Metrics that keep the deadlines they are given: OpenTelemetry's provider waits for its exporter's network."""

from __future__ import annotations

import logging

from opentelemetry.sdk.metrics import MeterProvider

from mita_otel.processors.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")


class DeadlinedMetrics:
    """Flushes and ends a MeterProvider on a thread of its own, and waits no longer than it is told.

    The provider itself waits for an exporter's retries, and raises what goes wrong.

    Args:
        provider: The provider.
        stop_timeout_s: Seconds that its shutdown may take.
    """

    def __init__(self, provider: MeterProvider, *, stop_timeout_s: float) -> None:
        self._provider = provider
        self._stop_timeout_s = stop_timeout_s
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
        # Early: a dying interpreter starts no threads.
        self._worker.start()

    def force_flush(self, timeout_millis: int = 30000, /) -> bool:
        """Collect and export. False if that took too long, or failed, or an earlier flush still hangs."""
        if self._flushing:
            return False
        return self._worker.flush(timeout_millis / 1000) and self._flushed

    def shutdown(self) -> None:
        """End the provider. One that did not flush in time gets no more time."""
        self._worker.stop(0 if self._flushing else self._stop_timeout_s)

    def _flush(self, left_s: float) -> None:
        self._flushing = True
        try:
            self._flushed = bool(self._provider.force_flush(max(1, int(left_s * 1000))))
        except Exception as error:  # noqa: BLE001 - a reader may do anything
            self._flushed = False
            _logger.debug("metrics could not be flushed: %s", error)
        finally:
            self._flushing = False
