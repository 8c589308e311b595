"""Records the durations of each operation by minute, in memory that the policy bounds."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator

from mita_otel.latency.limits import Rule
from mita_otel.latency.operations import Operation, OperationNames
from mita_otel.latency.sketch import merged
from mita_otel.latency.window import LatencyWindow, OpenWindow, add_up
from mita_otel.policy.storage import SummaryPolicy
from mita_otel.policy.thresholds import AdaptivePolicy

MINUTE_S = 60
HOUR_S = 3600

_Windows = dict[Operation, LatencyWindow]


class LatencyRecorder:
    """Durations by operation and minute; thread-safe.

    The minutes of `summary.minutes` are kept one by one, older ones by the hour.

    Args:
        policy: How much is kept.
        adaptive: The window of adaptive limits.
        names: The names of operations.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        policy: SummaryPolicy,
        adaptive: AdaptivePolicy,
        names: OperationNames,
        *,
        clock: Callable[[], float],
    ) -> None:
        self._policy = policy
        self._adaptive = adaptive
        self._names = names
        self._clock = clock
        self.on_minute: Callable[[], None] | None = None
        """Called when a minute with spans in it has ended, on the thread that records. None: no store takes the
        windows that have ended (see `take_unwritten`), and they are not kept for it."""
        self.reset()

    def reset(self) -> None:
        """Forget everything: a forked child starts empty, since its parent reports the earlier spans."""
        self._lock = threading.Lock()
        self._open: dict[Operation, OpenWindow] = {}
        self._open_s = 0
        self._minutes: OrderedDict[int, _Windows] = OrderedDict()
        self._hours: OrderedDict[int, _Windows] = OrderedDict()
        self._unwritten: list[LatencyWindow] = []
        self._usual: dict[tuple[Operation, float], tuple[float, float | None]] = {}

    def record(
        self,
        operation: Operation,
        duration_ms: float,
        trace_id: int,
        *,
        failed: bool,
        breached: bool,
        rule: Rule | None = None,
    ) -> None:
        """Count a span of the operation (as it is shown) that has just ended."""
        now = self._clock()
        with self._lock:
            minute_ended = self._turn(now)
            window = self._open.get(operation)
            if window is None:
                window = self._open[operation] = OpenWindow(
                    self._open_s,
                    MINUTE_S,
                    operation.kind,
                    operation.name,
                    self._policy.relative_error,
                    self._policy.slowest,
                )
            if rule is not None:
                window.rule, window.limit_ms = rule.name, rule.limit_ms
            window.add(max(0.0, duration_ms), trace_id, now, failed=failed, breached=breached)
        if minute_ended and self.on_minute is not None:
            self.on_minute()

    def windows(self, since_s: float) -> list[LatencyWindow]:
        """Return every window that ends after `since_s` (seconds since the epoch), the present minute included."""
        with self._lock:
            self._turn(self._clock())
            kept = [
                window
                for group in (self._hours, self._minutes)
                for windows in group.values()
                for window in windows.values()
                if window.start_s + window.length_s > since_s
            ]
            return kept + [window.freeze() for window in self._open.values()]

    def take_unwritten(self, *, everything: bool = False) -> list[LatencyWindow]:
        """Return the windows that have ended since the last call, for a store.

        Args:
            everything: The present minute as well, since the process is ending. What is recorded later in this
                minute is a separate window.
        """
        with self._lock:
            self._turn(self._clock())
            if everything:
                self._close()
            taken, self._unwritten = self._unwritten, []
            return taken

    def pending(self) -> list[LatencyWindow]:
        """Return the windows that were not taken yet, the present minute included."""
        with self._lock:
            self._turn(self._clock())
            return [*self._unwritten, *(window.freeze() for window in self._open.values())]

    def percentile_ms(self, operation: Operation, percentile: float) -> float | None:
        """Return the percentile of the operation's recent durations. None: there are too few."""
        now = self._clock()
        key = (operation, percentile)
        known = self._usual.get(key)
        if known is not None and 0 <= now - known[0] < self._adaptive.refresh_s:
            return known[1]
        usual = self._find_percentile(operation, percentile, now)
        with self._lock:
            if len(self._usual) >= 4 * self._policy.max_operations:
                self._usual.clear()
            self._usual[key] = (now, usual)
        return usual

    def _find_percentile(self, operation: Operation, percentile: float, now: float) -> float | None:
        with self._lock:
            self._turn(now)
            shown = self._names.known(operation)
            if shown is None:
                return None
            parts = list(self._of(shown, now - self._adaptive.window_s))
        if sum(part.count for part in parts) < self._adaptive.min_count:
            return None
        return merged((part.sketch for part in parts), self._policy.relative_error).percentile(percentile)

    def _of(self, shown: Operation, since_s: float) -> Iterator[LatencyWindow]:
        for group in (self._hours, self._minutes):
            for windows in group.values():
                window = windows.get(shown)
                if window is not None and window.start_s + window.length_s > since_s:
                    yield window
        present = self._open.get(shown)
        if present is not None:
            yield present.freeze()

    def _turn(self, now: float) -> bool:
        """End the minute if it is over; return whether there was anything in it."""
        minute_s = int(now // MINUTE_S) * MINUTE_S
        if minute_s == self._open_s:
            return False
        ended = bool(self._open)
        self._close()
        self._open_s = minute_s
        while len(self._minutes) > self._policy.minutes:
            self._roll_up(*self._minutes.popitem(last=False))
        while len(self._hours) > self._policy.hours:
            self._hours.popitem(last=False)
        oldest_s = minute_s - self._policy.hours * HOUR_S
        for hour_s in [hour_s for hour_s in self._hours if hour_s + HOUR_S <= oldest_s]:
            del self._hours[hour_s]
        self._names.forget(oldest_s)
        return ended

    def _close(self) -> None:
        """Make the present minute one of those that are kept."""
        ended = {operation: window.freeze() for operation, window in self._open.items() if window.count}
        self._open = {}
        if not ended:
            return
        if self.on_minute is not None:
            self._unwritten.extend(ended.values())
            # While the store is unreachable, keep no more than the summary keeps.
            del self._unwritten[: -self._policy.minutes * self._policy.max_operations]
        self._add(self._minutes, self._open_s, ended)

    def _roll_up(self, minute_s: int, windows: _Windows) -> None:
        self._add(self._hours, minute_s - minute_s % HOUR_S, windows)

    def _add(self, group: OrderedDict[int, _Windows], start_s: int, windows: _Windows) -> None:
        there = group.setdefault(start_s, {})
        for operation, window in windows.items():
            before = there.get(operation)
            there[operation] = (
                window
                if before is None
                else add_up([before, window], self._policy.relative_error, self._policy.slowest)
            )
