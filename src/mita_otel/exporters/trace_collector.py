"""Finished spans that wait for the rest of their trace: bounded in number and in age."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from mita_otel.exporters.span_record import SpanRecord


class TraceCollector:
    """Gathers spans until the span that their trace began with in this process has ended.

    Children end before their parents. What ends after the beginning of its trace was given out (a background
    task) comes out as a trace of its own.

    Args:
        max_spans: Spans that may wait. One more, and the oldest trace is given out as it is.
        max_wait_s: Seconds after which a trace is given out although it has not ended.
        clock: Monotonic seconds.
    """

    def __init__(self, max_spans: int, max_wait_s: float, clock: Callable[[], float]) -> None:
        self._max_spans = max_spans
        self._max_wait_s = max_wait_s
        self._clock = clock
        self._waiting: OrderedDict[str, list[SpanRecord]] = OrderedDict()
        self._since: dict[str, float] = {}
        self._count = 0
        self._ended: list[list[SpanRecord]] = []
        self._given: OrderedDict[str, None] = OrderedDict()
        """Ids of the newest spans that were given out: whose child comes now, comes late."""

    def add(self, span: SpanRecord) -> None:
        """Take a finished span."""
        waiting = self._waiting.setdefault(span.trace_id, [])
        self._since.setdefault(span.trace_id, self._clock())
        waiting.append(span)
        self._count += 1
        if span.is_local_root or span.parent_span_id in self._given:
            self._end(span)
        elif self._count > self._max_spans:
            self._ended.append(self._take(next(iter(self._waiting))))

    def ended(self) -> list[list[SpanRecord]]:
        """Return the traces that have ended or waited too long, and forget them."""
        latest = self._clock() - self._max_wait_s
        for trace_id in [one for one in self._waiting if self._since[one] <= latest]:
            self._ended.append(self._take(trace_id))
        ended, self._ended = self._ended, []
        return ended

    def take_all(self) -> list[list[SpanRecord]]:
        """Return everything that waits, and forget it."""
        self._ended.extend([self._take(trace_id) for trace_id in list(self._waiting)])
        return self.ended()

    def hold_nothing(self) -> None:
        """Let nothing wait from now on."""
        self._max_wait_s = 0.0

    def _end(self, root: SpanRecord) -> None:
        """Give out the spans below `root`. Others of the trace (of another request of it) wait on."""
        since = self._since[root.trace_id]
        rest = self._remove(root.trace_id)
        below = {root.span_id}
        mine: list[SpanRecord] = []
        found = True
        while found:
            # Parents end after their children: from the last to the first, one round finds nearly all.
            found = False
            left: list[SpanRecord] = []
            for span in reversed(rest):
                if span.span_id in below or span.parent_span_id in below:
                    below.add(span.span_id)
                    mine.append(span)
                    found = True
                else:
                    left.append(span)
            rest = left[::-1]
        self._ended.append(self._giving(mine))
        if rest:
            self._waiting[root.trace_id] = rest
            self._since[root.trace_id] = since
            self._count += len(rest)

    def _take(self, trace_id: str) -> list[SpanRecord]:
        return self._giving(self._remove(trace_id))

    def _remove(self, trace_id: str) -> list[SpanRecord]:
        spans = self._waiting.pop(trace_id)
        del self._since[trace_id]
        self._count -= len(spans)
        return spans

    def _giving(self, spans: list[SpanRecord]) -> list[SpanRecord]:
        for span in spans:
            self._given[span.span_id] = None
        while len(self._given) > self._max_spans:
            self._given.popitem(last=False)
        return spans
