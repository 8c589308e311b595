"""The chain: each processor takes the next one, does one thing to a finished span and passes it on."""

from __future__ import annotations

import logging
import threading
from abc import abstractmethod

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

_logger = logging.getLogger("mita_otel")


class Link(SpanProcessor):
    """A processor that stands in front of another one.

    A subclass implements `process`. An exception in it never reaches the application: the span is then
    handed to `salvage`, which passes it on unchanged. A processor that must fail closed overrides that.

    Args:
        next_processor: What receives the spans that `process` returns. Any SpanProcessor will do.
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
        """Return what to pass on after `process` raised."""
        return span

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell the next processor."""
        self.next_processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Process the span and pass the result on."""
        result = self.processed(span)
        if result is not None:
            self.next_processor.on_end(result)

    def processed(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return what would be passed on. Never raises."""
        try:
            return self.process(span)
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - not even a Rust panic must keep a span from `salvage`
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
