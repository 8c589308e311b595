"""What happened before an error: the newest log records of its trace.

sentry-sdk keeps breadcrumbs in a scope, which somebody has to fork for each request, or they mix. A trace's id is
there anyway.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from typing import Any

from mita_otel.processors.forks import ForkSafeLock

Breadcrumb = dict[str, Any]


class Breadcrumbs:
    """Keeps the newest breadcrumbs of the newest traces; thread-safe.

    Args:
        max_traces: Traces that are remembered.
        max_breadcrumbs: Breadcrumbs of one trace.
    """

    def __init__(self, max_traces: int, max_breadcrumbs: int) -> None:
        self._max_traces = max_traces
        self._max_breadcrumbs = max_breadcrumbs
        self._lock = ForkSafeLock()
        self._traces: OrderedDict[int, deque[Breadcrumb]] = OrderedDict()

    def add(self, trace_id: int, breadcrumb: Breadcrumb) -> None:
        """Keep a breadcrumb. Those of no trace (id 0) are not kept: nobody could say whose they are."""
        if not trace_id:
            return
        with self._lock:
            trail = self._traces.get(trace_id)
            if trail is None:
                trail = self._traces[trace_id] = deque(maxlen=self._max_breadcrumbs)
                if len(self._traces) > self._max_traces:
                    self._traces.popitem(last=False)
            trail.append(breadcrumb)

    def of(self, trace_id: int) -> list[Breadcrumb]:
        """Return the trace's breadcrumbs, oldest first."""
        with self._lock:
            return list(self._traces.get(trace_id, ()))
