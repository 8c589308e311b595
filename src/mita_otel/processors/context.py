"""What is known where a span or log record begins (user, transaction, operation) becomes its attributes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from mita_otel.processors.link import Link

_logger = logging.getLogger("mita_otel")


class ContextProcessor(Link):
    """Lets each span show what is known in the context it begins in.

    Args:
        enrich: Sets attributes on a span that has just begun, on the thread that begins it.
        next_processor: What comes next.
    """

    def __init__(self, enrich: Callable[[Span], None], next_processor: SpanProcessor) -> None:
        super().__init__(next_processor)
        self._enrich = enrich

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Enrich the span, then tell the next processor."""
        try:
            self._enrich(span)
        except Exception:  # noqa: BLE001 - a span that shows less is better than none
            self._count_failure()
        self.next_processor.on_start(span, parent_context)

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span as it is."""
        return span


class ContextLogProcessor(LogRecordProcessor):
    """Lets each log record show what is known in the context it is emitted in; what it says itself stands.

    It changes the record, so it stands before the processors that send it.

    Args:
        attributes: Returns what is known, on the thread that emits.
    """

    def __init__(self, attributes: Callable[[], Mapping[str, Any]]) -> None:
        self._attributes = attributes

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Enrich the record."""
        try:
            record = log_record.log_record
            known = self._attributes()
            if known:
                record.attributes = {**known, **(record.attributes or {})}
        except Exception:
            _logger.debug("a log record could not be enriched", exc_info=True)

    def shutdown(self) -> None:
        """Nothing to do."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True
