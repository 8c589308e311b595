"""A bounded queue in front of one exporter of any signal. The export queues of spans and log records use it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from time import perf_counter
from typing import Generic, TypeVar

from opentelemetry import metrics
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import semconv
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.queues.batch_sender import BatchSender, Exports
from mita_otel.processors.queues.byte_bound import ByteBound
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, DEADLINE_PASSED, Losses
from mita_otel.processors.queues.otlp_responses import OtlpResponses
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import Deliveries, Stage, deadline_in, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker

T = TypeVar("T")


class BatchQueue(Stage, Generic[T]):
    """Exports items in batches on a separate thread.

    Unlike the SDK's batch processors it respects deadlines, counts lost items by reason, and counts a batch whose export
    failed as lost.

    Args:
        name: The exporter's name, for metrics and log messages.
        stage: The stage for losses, such as `exporter.otlp`.
        exporter: Receives the items.
        success: The exporter's result for a successful export.
        queue: Bounds of the queue.
        losses: Counts lost items.
        counter: Name of the counter of exported items.
        stop_timeout_s: Seconds that the exporter's shutdown may take.
        on_idle: Called regularly while there is no work.
        size: Returns the size of an item in bytes. None: items are not measured.
        max_bytes: Size of the items that may wait.
        slices: Divides the work of the exporter into slices.
        takes_turns: Whether the exporter may wait for the work of other threads; see `Slices.work`.
        responses: Observes the requests of the exporter. None: if it is one for OTLP, they are observed.
    """

    def __init__(
        self,
        name: str,
        stage: str,
        exporter: Exports[T],
        success: object,
        queue: QueuePolicy,
        losses: Losses,
        *,
        counter: str,
        stop_timeout_s: float,
        on_idle: Callable[[], None] | None = None,
        size: Callable[[T], int] | None = None,
        max_bytes: float = float("inf"),
        slices: Slices | None = None,
        takes_turns: bool = False,
        responses: OtlpResponses | None = None,
    ) -> None:
        self._name = name
        self._stage = stage
        self._exporter = exporter
        self._losses = losses
        self.deliveries = Deliveries()
        """Results of the latest exports."""
        self._bound = ByteBound(size, max_bytes)
        self._max_items = queue.exporter_max_spans
        self._slices = slices or Slices()
        self._takes_turns = takes_turns
        self._sender: BatchSender[T] = BatchSender(
            name,
            exporter,
            success,
            OtlpResponses(exporter) if responses is None else responses,
            self._slice,
            self._slices.stepped,
        )
        self._stuck = False
        self._stop_timeout_s = stop_timeout_s
        self._component = {semconv.COMPONENT_TYPE: "mita_export_queue", semconv.COMPONENT_NAME: name}
        meter = metrics.get_meter("mita_otel")
        self._exported = meter.create_counter(
            counter, unit="{item}", description="Items whose export has finished, successfully or not"
        )
        self._took = meter.create_histogram(
            semconv.EXPORT_DURATION, unit="s", description="Duration of exporting a batch"
        )
        self._worker: BoundedWorker[T] = BoundedWorker(
            self._export,
            name=f"mita-otel-{stage}",
            max_items=queue.exporter_max_spans,
            max_batch=queue.max_batch,
            delay_s=queue.delay_ms / 1000,
            on_flush=self._flush_exporter,
            on_stop=exporter.shutdown,
            on_idle=None if on_idle is None else partial(self._idle, on_idle),
            idle_s=queue.idle_s,
        )

    @property
    def waiting(self) -> int:
        """Number of queued items."""
        return self._worker.waiting

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def put(self, item: T) -> None:
        """Queue an item. If the queue is full, the item is counted as lost."""
        if not self._bound.admit(item):
            self.lose("queue_full")
        elif not self._worker.put(item):
            self._bound.release([item])
            self.lose(AFTER_SHUTDOWN if self._worker.stopping else "queue_full")

    def lose(self, reason: str) -> None:
        """Count an item as lost."""
        self._losses.add(self._stage, reason)

    def flush_async(self, deadline_s: float) -> None:
        """Begin to export all queued items."""
        if self._unused:
            return
        self._worker.flush_async(seconds_left(deadline_s))

    def flush(self, deadline_s: float) -> bool:
        """Export all queued items. Returns False if the deadline passed first."""
        if self._unused:
            return True
        flushed = self._worker.flush(seconds_left(deadline_s))
        self._stuck = not flushed
        return flushed

    def abandon(self) -> None:
        """Count items that were not exported as lost."""
        self._stuck = True
        self._losses.add(self._stage, DEADLINE_PASSED, self._worker.count_as_lost())

    def close(self) -> None:
        """Shut the exporter down on the queue's thread. After a flush that missed its deadline, this does not wait."""
        if not self._worker.stop(0 if self._stuck else self._stop_timeout_s):
            self._losses.add(self._stage, DEADLINE_PASSED, self._worker.discard())

    @property
    def _unused(self) -> bool:
        """Whether the exporter has received nothing in this process, so that it has nothing to flush."""
        return not self._worker.started and not self._worker.waiting

    def _slice(self) -> AbstractContextManager[None]:
        return self._slices.batch(self._worker, self._max_items, takes_turns=self._takes_turns)

    def _idle(self, on_idle: Callable[[], None]) -> None:
        with self._slice():
            on_idle()

    def _export(self, batch: list[T]) -> None:
        started = perf_counter()
        failures = self._sender.send(batch)
        self._bound.release(batch)
        types = [one.error_type for one in failures]
        self._took.record(perf_counter() - started, self._labels(types[0] if types else None))
        if arrived := len(batch) - sum(one.count for one in failures):
            self._exported.add(arrived, self._component)
        for one in failures:
            self._exported.add(one.count, self._labels(one.error_type))
        uncounted = self._worker.settle(len(batch))
        if not failures:
            self.deliveries.succeeded()
        for one in failures:
            self.deliveries.failed(str(one.cause) if one.cause is not None else one.error_type)
            self._losses.add(self._stage, one.reason, min(one.count, uncounted), one.cause)
            uncounted = max(0, uncounted - one.count)

    def _labels(self, error_type: str | None) -> dict[str, str]:
        return self._component if error_type is None else {**self._component, semconv.ERROR_TYPE: error_type}

    def _flush_exporter(self, left_s: float) -> bool:
        with suppress_instrumentation():
            return self._exporter.force_flush(max(1, int(left_s * 1000))) is not False


class QueueProcessor(Stage, Generic[T]):
    """What OpenTelemetry's span and log processors share when a `BatchQueue` does their work.

    Args:
        queue: Exports the items.
    """

    def __init__(self, queue: BatchQueue[T]) -> None:
        self._queue = queue

    def flush_async(self, deadline_s: float) -> None:
        """Begin to export all queued items."""
        self._queue.flush_async(deadline_s)

    def flush(self, deadline_s: float) -> bool:
        """Export all queued items. Returns False if the deadline passed first."""
        return self._queue.flush(deadline_s)

    def abandon(self) -> None:
        """Count all queued items as lost."""
        self._queue.abandon()

    def close(self) -> None:
        """Shut the exporter down on the queue's thread. After a flush that missed its deadline, this does not wait."""
        self._queue.close()

    def shutdown(self) -> None:
        """Close the queue and the exporter."""
        self.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export all queued items. Returns False if that took longer than `timeout_millis`."""
        return self.flush(deadline_in(timeout_millis))
