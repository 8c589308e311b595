"""The last span processor: a bounded queue in front of one exporter, so that a slow one holds nobody up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, runtime_checkable

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel import semconv
from mita_otel.policy.sections import QueuePolicy
from mita_otel.processors.queues.batch_queue import BatchQueue
from mita_otel.processors.queues.deliveries import Deliveries, Delivers
from mita_otel.processors.queues.losses import CutsOff, Losses


@runtime_checkable
class HoldsBack(Protocol):
    """An exporter that keeps finished spans for a while, because their trace has not ended."""

    def tick(self) -> None:
        """Look whether something has been kept too long. Called now and then while there is no work."""

    def let_go(self) -> None:
        """Keep nothing any more: the process is ending. The next `force_flush` sends all that is kept."""


@runtime_checkable
class SeesStarts(Protocol):
    """An exporter that wants to know which spans are under way."""

    def started(self, span: Span) -> None:
        """Take notice of a span. Called on the application's thread: be quick."""


@runtime_checkable
class SeesEnds(Protocol):
    """An exporter that wants to know when spans end, before any queue."""

    def ended(self, span: ReadableSpan) -> None:
        """Take notice of a span. Called on the application's thread: be quick."""


@runtime_checkable
class SeesSampling(Protocol):
    """An exporter that tells its back end how much was left out on purpose."""

    def watch_sampling(self, sampled_out: Callable[[], tuple[int, int]]) -> None:
        """Take what returns how many traces and spans sampling has left out so far."""


class ExportQueue(SpanProcessor):
    """Exports spans in batches on a thread of its own; see `BatchQueue`.

    Args:
        name: The exporter's name, for counts and messages.
        exporter: Where the spans go.
        queue: Bounds of the queue.
        losses: Where lost spans are counted.
        stop_timeout_s: Seconds that the exporter's own shutdown may take.
    """

    def __init__(
        self, name: str, exporter: SpanExporter, queue: QueuePolicy, losses: Losses, *, stop_timeout_s: float
    ) -> None:
        self.name = name
        self.exporter = exporter
        self._sees_starts = exporter if isinstance(exporter, SeesStarts) else None
        self._queue: BatchQueue[ReadableSpan] = BatchQueue(
            name,
            f"exporter.{name}",
            exporter,
            SpanExportResult.SUCCESS,
            queue,
            losses,
            counter=semconv.EXPORTED_COUNTER,
            stop_timeout_s=stop_timeout_s,
            on_idle=exporter.tick if isinstance(exporter, HoldsBack) else None,
        )

    @property
    def waiting(self) -> int:
        """Spans that wait now."""
        return self._queue.waiting

    @property
    def deliveries(self) -> Deliveries:
        """How the last exports went, as the exporter knows it, else as it told the queue."""
        return self.exporter.deliveries if isinstance(self.exporter, Delivers) else self._queue.deliveries

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Start the thread before the first span ends, and tell an exporter that wants to know."""
        self._queue.start()
        if self._sees_starts is not None:
            self._sees_starts.started(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        self._queue.put(span)

    def hurry(self, timeout_millis: int) -> None:
        """Ask for an export of everything that waits, without waiting for it."""
        self._queue.hurry(timeout_millis / 1000)

    def cut_off(self) -> None:
        """Count what waits here and in the exporter as lost: the deadline is over."""
        self._queue.cut_off()
        if isinstance(self.exporter, CutsOff):
            self.exporter.cut_off()

    def shutdown(self) -> None:
        """Let the thread shut the exporter down. One that did not flush in time gets no more time."""
        self._queue.stop()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export everything that waits. False if that took longer than `timeout_millis`."""
        return self._queue.flush(timeout_millis / 1000)
