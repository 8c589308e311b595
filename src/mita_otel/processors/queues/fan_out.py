"""The end of the chain: every exporter gets every span, and none can disturb another."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from time import monotonic

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from mita_otel.processors.queues.export_queue import ExportQueue

_logger = logging.getLogger("mita_otel")


class FanOut(SpanProcessor):
    """Passes each span on to several processors: our export queues, and those of third parties.

    Args:
        processors: The first receivers; `add` takes more at any time.
    """

    def __init__(self, processors: Iterable[SpanProcessor] = ()) -> None:
        self._processors: tuple[SpanProcessor, ...] = tuple(processors)
        self._reported: set[int] = set()

    @property
    def processors(self) -> tuple[SpanProcessor, ...]:
        """The receivers."""
        return self._processors

    def add(self, processor: SpanProcessor) -> None:
        """Add a receiver."""
        self._processors = (*self._processors, processor)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Tell every receiver."""
        for processor in self._processors:
            try:
                processor.on_start(span, parent_context)
            except Exception:  # noqa: BLE001 - a third party's processor may do anything
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
        """Flush all receivers side by side. False if one of them did not make it in time."""
        deadline = monotonic() + timeout_millis / 1000
        for processor in self._processors:
            if isinstance(processor, ExportQueue):
                processor.hurry(timeout_millis)
        flushed = True
        for processor in self._processors:
            left_ms = max(0, int((deadline - monotonic()) * 1000))
            try:
                flushed = processor.force_flush(left_ms) and flushed
            except Exception:  # noqa: BLE001 - as above
                self._report(processor, "force_flush")
                flushed = False
        return flushed

    def _report(self, processor: SpanProcessor, method: str) -> None:
        if id(processor) not in self._reported:
            self._reported.add(id(processor))
            _logger.exception(
                "%s failed in %s; it will not be reported again", type(processor).__name__, method
            )
