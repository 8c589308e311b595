"""A link of the processor chain: it does one thing to a finished span and passes it to the next processor."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from mita_otel.errors import raise_interrupt

_logger = logging.getLogger("mita_otel")


class Link(SpanProcessor):
    """A processor that passes spans to the next one.

    A subclass implements `process`. If it raises, the exception does not reach the application: `salvage` returns the
    span to pass on, by default unchanged. A processor that must fail closed overrides `salvage`.

    Args:
        next_processor: Receives the spans that `process` returns. Any SpanProcessor.
    """

    def __init__(self, next_processor: SpanProcessor) -> None:
        self.next_processor = next_processor
        self.failures = 0
        """Spans for which `process` raised."""
        self._reported = threading.Event()

    @abstractmethod
    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span to pass on: the same one, a copy (never mutate a span), or None to drop it."""

    def salvage(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span to pass on after `process` raised."""
        return span

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass the call to the next processor."""
        self.next_processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Process the span and pass the result on."""
        result = self.processed(span)
        if result is not None:
            self.next_processor.on_end(result)

    def processed(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span to pass on, or None. Never raises an `Exception`."""
        try:
            return self.process(span)
        except BaseException as error:  # noqa: BLE001 - a Rust panic must also lead to `salvage`
            raise_interrupt(error)
            self._count_failure()
            return self.salvage(span)

    def shutdown(self) -> None:
        """Shut the next processor down."""
        self.next_processor.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the next processor."""
        return self.next_processor.force_flush(timeout_millis)

    def _count_failure(self) -> None:
        self.failures += 1
        if not self._reported.is_set():
            self._reported.set()
            _logger.exception("%s failed on a span; further failures are only counted", type(self).__name__)
