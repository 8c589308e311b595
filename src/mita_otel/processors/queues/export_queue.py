"""The last span processor: a bounded queue in front of one exporter, so that a slow exporter delays no other."""

from __future__ import annotations

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel import semconv
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.queues.batch_queue import BatchQueue
from mita_otel.processors.queues.deliveries import Deliveries
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage, deadline_in, hooks_of


class ExportQueue(SpanProcessor, Stage):
    """Exports spans in batches on its own thread; see `BatchQueue`.

    Args:
        name: The exporter's name, for counts and messages.
        exporter: Where the spans go.
        queue: Bounds of the queue.
        losses: Where lost spans are counted.
        stop_timeout_s: Seconds that the exporter's shutdown may take.
    """

    def __init__(
        self, name: str, exporter: SpanExporter, queue: QueuePolicy, losses: Losses, *, stop_timeout_s: float
    ) -> None:
        self.name = name
        self.hooks = hooks_of(exporter)
        """What the exporter does beyond exporting."""
        self._queue: BatchQueue[ReadableSpan] = BatchQueue(
            name,
            f"exporter.{name}",
            exporter,
            SpanExportResult.SUCCESS,
            queue,
            losses,
            counter=semconv.EXPORTED_COUNTER,
            stop_timeout_s=stop_timeout_s,
            on_idle=self.hooks.tick if self.hooks.implements("tick") else None,
        )

    @property
    def waiting(self) -> int:
        """Spans that wait now."""
        return self._queue.waiting

    @property
    def deliveries(self) -> Deliveries:
        """The latest deliveries, as the exporter reports them, else by the results of its exports."""
        return self.hooks.deliveries or self._queue.deliveries

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Start the thread before the first span ends, and let the exporter observe the span."""
        self._queue.start()
        self.hooks.on_span_start(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        self._queue.put(span)

    def start(self) -> None:
        """Start the thread."""
        self._queue.start()

    def flush_async(self, deadline_s: float) -> None:
        """Begin to export everything that waits."""
        self._queue.flush_async(deadline_s)

    def flush(self, deadline_s: float) -> bool:
        """Export everything that waits. Returns False if the deadline passed first."""
        return self._queue.flush(deadline_s)

    def drain(self) -> None:
        """Let the exporter hold nothing back any more."""
        self.hooks.drain()

    def abandon(self) -> None:
        """Count what waits here and in the exporter as lost."""
        self._queue.abandon()
        self.hooks.abandon()

    def close(self) -> None:
        """Shut the exporter down on the queue's thread. After a flush that was late, this does not wait for it."""
        self._queue.close()

    def shutdown(self) -> None:
        """Close the queue and the exporter."""
        self.close()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export everything that waits. Returns False if that took longer than `timeout_millis`."""
        return self.flush(deadline_in(timeout_millis))
