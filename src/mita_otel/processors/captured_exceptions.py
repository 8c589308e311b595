"""Remembers exceptions that became issues, by trace and location, and parses stack traces."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.processors.queues.forks import ForkSafeLock

_FRAME: Final = re.compile(r'^ {2}File "([^"\n]*)", line (\d+)(?:, in (.*))?$')
_EXPECTED: Final = frozenset({"refused", "cancelled"})
"""Outcomes of an operation that ended with an exception, which is no error."""
_GROUP_MARGIN: Final = "  | "
_MAX_FRAMES: Final = 250
"""Maximum number of frames that Sentry keeps for one exception."""


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
