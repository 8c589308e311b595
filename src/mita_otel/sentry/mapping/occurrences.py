"""Which exceptions have become issues: the same one comes by again as text, on the spans that it passed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.sentry.mapping.stacktrace import innermost


class Occurrences:
    """Remembers exceptions by trace, type and the place where they were raised; thread-safe.

    Args:
        max_remembered: Newest occurrences that are remembered.
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

    def note(self, trace_id: int) -> None:
        """Remember that an error of the trace was reported, with an exception or without."""
        if trace_id:
            with self._lock:
                self._traces[trace_id] = None
                if len(self._traces) > self._max_remembered:
                    self._traces.popitem(last=False)

    def happened_in(self, trace_id: int) -> bool:
        """Return whether an error of the trace was reported."""
        return trace_id in self._traces

    def add_exception(self, trace_id: int, exception: BaseException) -> None:
        """Remember an exception, with its causes and the members of groups: an issue shows them all."""
        for one in _related(exception):
            self.add(trace_id, type(one).__name__, innermost(one.__traceback__))


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
