"""Remembers exceptions that were captured, by trace and location, and reports those that were only recorded or logged.

A service without Sentry has alerts about recorded exceptions as well.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import Any, Final
from uuid import uuid4

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, SpanKind

from mita_otel import semconv
from mita_otel.captured import event_id_of
from mita_otel.processors.ended_requests import ended_request
from mita_otel.processors.queues.forks import ForkSafeLock

_FRAME: Final = re.compile(r'^ {2}File "([^"\n]*)", line (\d+)(?:, in (.*))?$')
_EXPECTED: Final = frozenset({"refused", "cancelled"})
"""Outcomes of an operation that ended with an exception, which is no error."""
_GROUP_MARGIN: Final = "  | "
_MAX_FRAMES: Final = 250
"""Maximum number of frames that Sentry keeps for one exception."""
_logger = logging.getLogger("mita_otel")
_ERROR: Final = 17
"""Lowest severity number of an error."""
Report = Callable[[str, Mapping[str, Any], SpanContext, Mapping[str, Any]], object]
"""Takes an event id, the span's attributes, the span, and the attributes of the recorded exception."""
Describe = Callable[..., object]
"""Takes an event id, an exception, a message and `level`."""
_ROOTS: Final = frozenset({SpanKind.SERVER, SpanKind.CONSUMER})
"""Kinds of spans that are always local roots."""


def innermost(traceback: TracebackType | None) -> str:
    """Return where an exception was raised, such as `/srv/app.py:12`. Empty if there is no traceback."""
    if traceback is None:
        return ""
    while traceback.tb_next is not None:
        traceback = traceback.tb_next
    return f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


def parse_stacktrace(text: str) -> list[dict[str, Any]]:
    """Return the frames of the last exception in a Python traceback in Sentry's format, outermost first.

    Text that is not a traceback has no frames. In a chain of exceptions the last one is the recorded exception. For
    an exception group only the frames of the group are returned, not those of its members.
    """
    frames: list[dict[str, Any]] = []
    lines = [line[4:] if line.startswith(_GROUP_MARGIN) else line for line in text.splitlines()]
    for number, line in enumerate(lines):
        if line.startswith(("Traceback (most recent call last):", "  + Exception Group Traceback")):
            frames = []
            continue
        found = _FRAME.match(line)
        if found is None:
            continue
        path, lineno, function = found.groups()
        frame: dict[str, Any] = {
            "abs_path": path,
            "filename": path.replace("\\", "/").rsplit("/", 1)[-1],
            "lineno": int(lineno),
            "function": function or "<unknown>",
        }
        following = lines[number + 1] if number + 1 < len(lines) else ""
        if following.startswith("    "):
            frame["context_line"] = following[4:]
        frames.append(frame)
    return frames[-_MAX_FRAMES:]


def is_expected(type_name: str, spans: Iterable[ReadableSpan]) -> bool:
    """Return whether an operation among the spans ended with an exception of this type, and expected it.

    Args:
        type_name: The qualified name of the exception's type.
        spans: The spans of a trace.
    """
    for span in spans:
        attributes = span.attributes or {}
        expected = attributes.get(semconv.ERROR_TYPE)
        if expected is None or attributes.get(semconv.OPERATION_OUTCOME) not in _EXPECTED:
            continue
        if type_name == expected or type_name.endswith(f".{expected}"):
            return True
    return False


class CapturedExceptions:
    """Remembers exceptions by trace, type and location; thread-safe.

    Args:
        max_remembered: Maximum number of exceptions and of traces. Beyond that the oldest are evicted.
    """

    def __init__(self, max_remembered: int) -> None:
        self._max_remembered = max_remembered
        self._seen: OrderedDict[tuple[int, str, str], None] = OrderedDict()
        self._traces: OrderedDict[int, None] = OrderedDict()
        self._lock = ForkSafeLock()

    def add(self, trace_id: int, type_name: str, place: str) -> bool:
        """Remember an occurrence. False if it was remembered before.

        Args:
            trace_id: 0 outside of any trace.
            type_name: The exception's type, without its module.
            place: As `innermost` returns it.
        """
        key = (trace_id, type_name, place)
        with self._lock:
            if key in self._seen:
                return False
            self._seen[key] = None
            if len(self._seen) > self._max_remembered:
                self._seen.popitem(last=False)
            return True

    def is_new(self, trace_id: int, exception: BaseException) -> bool:
        """Remember an exception. False if it was remembered before."""
        return self.add(trace_id, type(exception).__name__, innermost(exception.__traceback__))

    def note(self, trace_id: int) -> None:
        """Remember that an error of the trace was reported. The error may have no exception."""
        if trace_id:
            with self._lock:
                self._traces[trace_id] = None
                if len(self._traces) > self._max_remembered:
                    self._traces.popitem(last=False)

    def happened_in(self, trace_id: int) -> bool:
        """Return whether an error of the trace was reported."""
        return trace_id in self._traces

    def add_exception(self, trace_id: int, exception: BaseException) -> None:
        """Remember an exception, its causes and the members of groups, because one issue contains them all."""
        for one in _related(exception):
            self.is_new(trace_id, one)


def _related(exception: BaseException) -> Iterator[BaseException]:
    waiting, seen = [exception], set[int]()
    while waiting:
        one = waiting.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        waiting.extend(other for other in (one.__cause__, one.__context__) if other is not None)
        if isinstance(one, BaseExceptionGroup):
            waiting.extend(one.exceptions)


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
