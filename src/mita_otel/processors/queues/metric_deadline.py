"""Metrics that keep the deadlines they are given: OpenTelemetry's provider waits for its exporter's network."""

from __future__ import annotations

import logging
from typing import Final

from opentelemetry.sdk.metrics import MeterProvider

from mita_otel.processors.queues.losses import CUT_OFF, Losses
from mita_otel.processors.queues.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")

_STAGE: Final = "metrics"
"""Where a collection that came too late is counted."""


class DeadlinedMetrics:
    """Flushes and ends a MeterProvider on a thread of its own, and waits no longer than it is told.

    The provider itself waits for an exporter's retries, and raises what goes wrong.

    Args:
        provider: The provider.
        losses: Where it is counted that the last collection was not exported.
        stop_timeout_s: Seconds that its shutdown may take.
    """

    def __init__(self, provider: MeterProvider, losses: Losses, *, stop_timeout_s: float) -> None:
        self._provider = provider
        self._losses = losses
        self._stop_timeout_s = stop_timeout_s
        self._late = False
        self._told = False
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
        self._late = self._flushing or not self._worker.flush(timeout_millis / 1000)
        return self._flushed and not self._late

    def cut_off(self) -> None:
        """Count the last collection as lost if it is still on its way: the deadline is over."""
        if self._late and not self._told:
            self._told = True
            self._losses.add(_STAGE, CUT_OFF)

    def shutdown(self) -> None:
        """End the provider. One that did not flush in time gets no more time."""
        self._worker.stop(0 if self._flushing or self._late else self._stop_timeout_s)

    def _flush(self, left_s: float) -> None:
        self._flushing = True
        try:
            self._flushed = bool(self._provider.force_flush(max(1, int(left_s * 1000))))
        except Exception as error:  # noqa: BLE001 - a reader may do anything
            self._flushed = False
            _logger.debug("metrics could not be flushed: %s", error)
        finally:
            self._flushing = False
