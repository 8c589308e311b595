"""The end of the chain: every exporter gets every span, and a failing one does not affect the others."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from mita_otel.processors.queues.export_queue import ExportQueue
from mita_otel.processors.queues.stage import deadline_in, milliseconds_left

_logger = logging.getLogger("mita_otel")


class FanOut(SpanProcessor):
    """Passes each span on to several processors: third parties' and our export queues.

    Args:
        processors: Third parties' processors; `add` takes more at any time.
        queues: Our export queues, which flush at the same time.
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
        """Pass the start on to every receiver."""
        for processor in self._processors:
            try:
                processor.on_start(span, parent_context)
            except Exception:  # noqa: BLE001 - a third party's processor may raise anything
                self._report(processor, "on_start")

    def on_end(self, span: ReadableSpan) -> None:
        """Pass the span on to every receiver."""
        for processor in self._processors:
            try:
                processor.on_end(span)
            except Exception:  # noqa: BLE001 - as above
                self._report(processor, "on_end")

    def shutdown(self) -> None:
        """Shut every receiver down."""
        for processor in self._processors:
            try:
                processor.shutdown()
            except Exception:  # noqa: BLE001 - as above
                self._report(processor, "shutdown")

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush all receivers, our queues at the same time. Returns False if one of them was late."""
        deadline_s = deadline_in(timeout_millis)
        for queue in self._queues:
            queue.flush_async(deadline_s)
        flushed = True
        for processor in self._processors:
            try:
                flushed = processor.force_flush(milliseconds_left(deadline_s)) and flushed
            except Exception:  # noqa: BLE001 - as above
                self._report(processor, "force_flush")
                flushed = False
        return flushed

    def _report(self, processor: SpanProcessor, method: str) -> None:
        if id(processor) not in self._reported:
            self._reported.add(id(processor))
            _logger.exception(
                "%s failed in %s; further failures are not logged", type(processor).__name__, method
            )
