"""The end of the chain: a queue for each exporter. A failing exporter does not affect the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.queues.batch_queue import BatchQueue, QueueProcessor
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import Deliveries, deadline_in, hooks_of, milliseconds_left

_logger = logging.getLogger("mita_otel")


class FanOut(SpanProcessor):
    """Passes each span to processors of third parties and to our export queues.

    Args:
        processors: Processors of third parties. `add` adds more at any time.
        queues: Our export queues, which flush concurrently.
    """

    def __init__(self, processors: Iterable[SpanProcessor] = (), queues: Iterable[ExportQueue] = ()) -> None:
        self._queues = tuple(queues)
        self._processors: tuple[SpanProcessor, ...] = (*processors, *self._queues)
        self._reported: set[int] = set()

    @property
    def processors(self) -> tuple[SpanProcessor, ...]:
        """The receivers."""
        return self._processors

    def release(self) -> tuple[SpanProcessor, ...]:
        """Remove third parties' processors, and return them."""
        released = tuple(one for one in self._processors if one not in self._queues)
        self._processors = self._queues
        return released

    def add(self, processor: SpanProcessor) -> None:
        """Add a receiver."""
        self._processors = (*self._processors, processor)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass the call to every receiver."""
        for processor in self._processors:
            try:
                processor.on_start(span, parent_context)
            except BaseException as error:  # noqa: BLE001 - a third party's processor may raise anything
                raise_interrupt(error)
                self._report(processor, "on_start")

    def on_end(self, span: ReadableSpan) -> None:
        """Pass the span to every receiver."""
        for processor in self._processors:
            try:
                processor.on_end(span)
            except BaseException as error:  # noqa: BLE001 - as above
                raise_interrupt(error)
                self._report(processor, "on_end")

    def shutdown(self) -> None:
        """Shut every receiver down."""
        for processor in self._processors:
            try:
                processor.shutdown()
            except BaseException as error:  # noqa: BLE001 - as above
                raise_interrupt(error)
                self._report(processor, "shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush all receivers, our queues concurrently. Returns False if a receiver missed the deadline."""
        deadline_s = deadline_in(timeout_millis)
        for queue in self._queues:
            queue.flush_async(deadline_s)
        flushed = True
        for processor in self._processors:
            try:
                flushed = processor.force_flush(milliseconds_left(deadline_s)) and flushed
            except BaseException as error:  # noqa: BLE001 - as above
                raise_interrupt(error)
                self._report(processor, "force_flush")
                flushed = False
        return flushed

    def _report(self, processor: SpanProcessor, method: str) -> None:
        if id(processor) not in self._reported:
            self._reported.add(id(processor))
            _logger.exception(
                "%s failed in %s; further failures are not logged", type(processor).__name__, method
            )


class ExportQueue(QueueProcessor[ReadableSpan], SpanProcessor):
    """Exports spans in batches on its own thread; see `BatchQueue`.

    Args:
        name: The exporter's name, for metrics and log messages.
        exporter: Receives the spans.
        queue: Bounds of the queue.
        losses: Counts lost spans.
        stop_timeout_s: Seconds that the exporter's shutdown may take.
        slices: Divides the exporter's work into slices.
    """

    def __init__(
        self,
        name: str,
        exporter: SpanExporter,
        queue: QueuePolicy,
        losses: Losses,
        *,
        stop_timeout_s: float,
        slices: Slices | None = None,
    ) -> None:
        self.name = name
        self.hooks = hooks_of(exporter)
        """The exporter's optional methods."""
        queue_of_spans: BatchQueue[ReadableSpan] = BatchQueue(
            name,
            f"exporter.{name}",
            exporter,
            SpanExportResult.SUCCESS,
            queue.replace(delay_ms=queue.stage_delay_ms),
            losses,
            counter=semconv.EXPORTED_COUNTER,
            stop_timeout_s=stop_timeout_s,
            on_idle=self.hooks.tick if self.hooks.implements("tick") else None,
            slices=slices,
            takes_turns=self.hooks.takes_turns,
        )
        super().__init__(queue_of_spans)

    @property
    def waiting(self) -> int:
        """Number of queued spans."""
        return self._queue.waiting

    @property
    def deliveries(self) -> Deliveries:
        """The latest deliveries that the exporter reports; if it reports none, the results of its exports."""
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

    def drain(self) -> None:
        """Let the exporter release all held spans."""
        self.hooks.drain()

    def abandon(self) -> None:
        """Count spans in the queue and in the exporter as lost."""
        super().abandon()
        self.hooks.abandon()
