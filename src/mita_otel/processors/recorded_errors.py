"""Reports exceptions that the application only recorded on spans, for alerts of a service without Sentry."""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind

from mita_otel import semconv
from mita_otel.captured import event_id_of
from mita_otel.processors.captured_exceptions import CapturedExceptions, is_expected, parse_stacktrace
from mita_otel.processors.ended_requests import ended_request
from mita_otel.processors.queues.forks import ForkSafeLock

_logger = logging.getLogger("mita_otel")

_ERROR: Final = 17
"""Lowest severity number of an error."""

Report = Callable[[str, Mapping[str, Any], SpanContext, Mapping[str, Any]], object]
"""Takes an event id, the span's attributes, the span, and the attributes of the recorded exception."""
Describe = Callable[..., object]
"""Takes an event id, an exception, a message and `level`."""


class RecordedErrors(LogRecordProcessor):
    """Reports exceptions on spans, and log records with an exception, unless they were captured before.

    An exception on a span is reported when its local root ends: until then it may be captured with more context.

    Args:
        report: Reports an exception of a span.
        describe: Reports an exception of a log record, on the thread that emits it.
        ignored: Qualified names of exception types that are not errors.
        max_held: Maximum number of traces and of captured exceptions to remember.
    """

    def __init__(
        self, report: Report, describe: Describe, *, ignored: Iterable[str] = (), max_held: int
    ) -> None:
        self._report = report
        self._describe = describe
        self._ignored = frozenset(ignored)
        self._max_held = max_held
        self._captured = CapturedExceptions(max_held)
        self._lock = ForkSafeLock()
        self._held: OrderedDict[int, list[ReadableSpan]] = OrderedDict()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Remember a captured exception, and report one that only a log record contains."""
        record = log_record.log_record
        exception = getattr(record, "exception", None)
        if not isinstance(exception, BaseException):
            return
        number = record.severity_number.value if record.severity_number else 0
        if record.event_name != semconv.ERROR_EVENT and number >= _ERROR and event_id_of(exception) is None:
            self._describe(uuid4().hex, exception, "", level=number)
        ended = ended_request(exception)
        self._captured.add_exception(record.trace_id or (ended.trace_id if ended else 0), exception)

    def on_span_end(self, span: ReadableSpan) -> None:
        """Hold a span with exceptions until its local root ends."""
        context = span.context
        if context is None:
            return
        due: list[ReadableSpan] = []
        is_root = span.parent is None or span.parent.is_remote or span.kind in _ROOTS
        is_relevant = any(event.name == semconv.EXCEPTION_EVENT for event in span.events) or (
            semconv.ERROR_TYPE in (span.attributes or {})  # perhaps an operation that expected its exception
        )
        if not is_relevant and not self._held:
            return
        with self._lock:
            if is_relevant:
                self._held.setdefault(context.trace_id, []).append(span)
            if is_root:
                due = self._held.pop(context.trace_id, [])
            elif len(self._held) > self._max_held:
                due = self._held.popitem(last=False)[1]
        for one in due:
            self._report_span(one, due)

    def shutdown(self) -> None:
        """Report the exceptions of traces that have not ended."""
        with self._lock:
            held, self._held = self._held, OrderedDict()
        for spans in held.values():
            for span in spans:
                self._report_span(span, spans)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: this processor queues nothing."""
        return True

    def _report_span(self, span: ReadableSpan, held: Sequence[ReadableSpan]) -> None:
        if span.context is None:
            return
        for event in span.events:
            attributes = event.attributes or {}
            name = str(attributes.get(semconv.EXCEPTION_TYPE) or "Exception")
            if event.name != semconv.EXCEPTION_EVENT or name in self._ignored or is_expected(name, held):
                continue
            frames = parse_stacktrace(str(attributes.get(semconv.EXCEPTION_STACKTRACE) or ""))
            place = f"{frames[-1]['abs_path']}:{frames[-1]['lineno']}" if frames else ""
            if self._captured.add(span.context.trace_id, name.rpartition(".")[2], place):
                self._report(uuid4().hex, span.attributes or {}, span.context, attributes)


_ROOTS: Final = frozenset({SpanKind.SERVER, SpanKind.CONSUMER})
"""Kinds of spans that are always local roots."""
