"""Adds the current user, transaction and operation to spans and log records as attributes."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from mita_otel.errors import raise_interrupt
from mita_otel.processors.link import Link

_logger = logging.getLogger("mita_otel")


class ContextProcessor(Link):
    """Adds attributes from the current context to each span that starts.

    Args:
        enrich: Sets attributes on a span that has just started, on the thread that starts it.
        next_processor: Receives the spans.
    """

    def __init__(self, enrich: Callable[[Span], None], next_processor: SpanProcessor) -> None:
        super().__init__(next_processor)
        self._enrich = enrich

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Enrich the span, then pass the call to the next processor."""
        try:
            self._enrich(span)
        except BaseException as error:  # noqa: BLE001 - an incomplete span is better than no span
            raise_interrupt(error)
            self._count_failure()
        self.next_processor.on_start(span, parent_context)

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span unchanged."""
        return span


class ContextLogProcessor(LogRecordProcessor):
    """Adds attributes from the current context to each log record. Attributes of the record take precedence.

    It changes the record, so it must precede the processors that export it.

    Args:
        attributes: Returns the attributes of the current context. Runs on the thread that emits the record.
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
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("a log record could not be enriched", exc_info=True)

    def shutdown(self) -> None:
        """Do nothing: this processor holds no resources."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: this processor queues nothing."""
        return True
