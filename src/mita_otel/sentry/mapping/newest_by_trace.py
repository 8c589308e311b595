"""The newest things of the newest traces, in bounded memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Generic, TypeVar

from mita_otel.processors.queues.forks import ForkSafeLock

T = TypeVar("T")


class NewestByTrace(Generic[T]):
    """Keeps the newest things of the newest traces; thread-safe.

    Args:
        max_traces: Traces that are remembered.
        max_each: Things of one trace.
    """

    def __init__(self, max_traces: int, max_each: int) -> None:
        self._max_traces = max_traces
        self._max_each = max_each
        self._lock = ForkSafeLock()
        self._traces: OrderedDict[int, deque[T]] = OrderedDict()

    def add(self, trace_id: int, one: T) -> None:
        """Keep a thing. Those of no trace (id 0) are not kept: nobody could say whose they are."""
        if not trace_id:
            return
        with self._lock:
            kept = self._traces.get(trace_id)
            if kept is None:
                kept = self._traces[trace_id] = deque(maxlen=self._max_each)
                if len(self._traces) > self._max_traces:
                    self._traces.popitem(last=False)
            kept.append(one)

    def of(self, trace_id: int) -> list[T]:
        """Return what is kept of the trace, oldest first."""
        with self._lock:
            return list(self._traces.get(trace_id, ()))

    def forget(self, trace_id: int) -> None:
        """Let go of a trace."""
        with self._lock:
            self._traces.pop(trace_id, None)
