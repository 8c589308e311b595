"""Windows: the spans of one operation in one period, to store and add up."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from heapq import nlargest
from typing import Protocol

from mita_otel.latency.sketch import Sketch, merged


@dataclass(frozen=True, slots=True)
class SlowSpan:
    """One of the slowest spans of a window."""

    duration_ms: float
    trace_id: str
    """32 hexadecimal digits."""
    at_s: float
    """When it ended, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class LatencyWindow:
    """The spans of one operation that ended in one period, in one process or added up over several."""

    start_s: int
    """Seconds since the epoch."""
    length_s: int
    """Seconds; 60 when recorded."""
    kind: str
    """The kind of span, as in `api`."""
    operation: str
    """As in `GET /api/accounts/{id}/balance`."""
    rule: str | None
    """The policy's line that sets the limit. None: there is none."""
    limit_ms: float | None
    """Milliseconds, as they were last; None: none, or `"off"`."""
    count: int
    errors: int
    """Failed spans."""
    breaches: int
    """Spans above their limit."""
    total_ms: float
    min_ms: float
    max_ms: float
    sketch: bytes
    """The distribution of durations: see `mita_otel.latency.sketch`."""
    slowest: tuple[SlowSpan, ...] = ()
    """The slowest first."""


class WindowStore(Protocol):
    """Stores the windows of all workers, so that a summary covers all of them.

    Called off the request path, never two calls at a time from one process.
    """

    def write_windows(self, windows: Iterable[LatencyWindow], /) -> None:
        """Store windows that have ended. Windows of the same operation and minute are added up."""

    def read_windows(self, start_s: float, end_s: float, /) -> Iterable[LatencyWindow]:
        """Return the windows of every worker that start from `start_s` until before `end_s`."""


def add_up(windows: Iterable[LatencyWindow], relative_error: float, slowest: int) -> LatencyWindow:
    """Return the sum of windows: earliest start, names of the latest.

    Args:
        windows: Of one operation, or of several; at least one.
        relative_error: That of the sum's sketch.
        slowest: Number of slowest spans that are kept.

    Raises:
        ValueError: There is no window.
    """
    parts = sorted(windows, key=lambda one: one.start_s)
    if not parts:
        raise ValueError("nothing to add up")
    last = parts[-1]
    return LatencyWindow(
        start_s=parts[0].start_s,
        length_s=max(one.start_s + one.length_s for one in parts) - parts[0].start_s,
        kind=last.kind,
        operation=last.operation,
        rule=last.rule,
        limit_ms=last.limit_ms,
        count=sum(one.count for one in parts),
        errors=sum(one.errors for one in parts),
        breaches=sum(one.breaches for one in parts),
        total_ms=sum(one.total_ms for one in parts),
        min_ms=min(one.min_ms for one in parts),
        max_ms=max(one.max_ms for one in parts),
        sketch=merged((one.sketch for one in parts), relative_error).pack(),
        slowest=tuple(
            nlargest(
                slowest, (span for one in parts for span in one.slowest), key=lambda one: one.duration_ms
            )
        ),
    )


class OpenWindow:
    """A window that has not ended.

    Args:
        start_s: Seconds since the epoch.
        length_s: Seconds.
        kind: The kind of span.
        operation: The operation's name.
        relative_error: Relative error of a percentile.
        slowest: Number of slowest spans that are kept.
    """

    __slots__ = (
        "_keep",
        "_slowest",
        "_window",
        "breaches",
        "count",
        "errors",
        "limit_ms",
        "max_ms",
        "min_ms",
        "rule",
        "sketch",
        "total_ms",
    )

    def __init__(
        self, start_s: int, length_s: int, kind: str, operation: str, relative_error: float, slowest: int
    ) -> None:
        self._window = (start_s, length_s, kind, operation)
        self._keep = slowest
        self._slowest: list[SlowSpan] = []
        self.rule: str | None = None
        self.limit_ms: float | None = None
        self.count = self.errors = self.breaches = 0
        self.total_ms = 0.0
        self.min_ms, self.max_ms = float("inf"), 0.0
        self.sketch = Sketch(relative_error)

    def add(self, duration_ms: float, trace_id: int, at_s: float, *, failed: bool, breached: bool) -> None:
        """Count a span."""
        self.sketch.add(duration_ms)
        self.count += 1
        self.total_ms += duration_ms
        if failed:
            self.errors += 1
        if breached:
            self.breaches += 1
        if duration_ms < self.min_ms:
            self.min_ms = duration_ms
        if duration_ms > self.max_ms:
            self.max_ms = duration_ms
        slowest = self._slowest
        if self._keep and (len(slowest) < self._keep or duration_ms > slowest[-1].duration_ms):
            slowest.append(SlowSpan(duration_ms, f"{trace_id:032x}", at_s))
            slowest.sort(key=lambda one: -one.duration_ms)
            del slowest[self._keep :]

    def freeze(self) -> LatencyWindow:
        """Return the window as it is now."""
        start_s, length_s, kind, operation = self._window
        return LatencyWindow(
            start_s=start_s,
            length_s=length_s,
            kind=kind,
            operation=operation,
            rule=self.rule,
            limit_ms=self.limit_ms,
            count=self.count,
            errors=self.errors,
            breaches=self.breaches,
            total_ms=self.total_ms,
            min_ms=self.min_ms if self.count else 0.0,
            max_ms=self.max_ms,
            sketch=self.sketch.pack(),
            slowest=tuple(self._slowest),
        )
