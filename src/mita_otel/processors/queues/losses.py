"""Counts lost telemetry by stage and reason, and logs it at intervals."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable
from typing import Final

from opentelemetry import metrics

from mita_otel import semconv
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.processors.queues.loss_causes import Cause, usual_cause

_logger = logging.getLogger("mita_otel")

DEADLINE_PASSED: Final = "shutdown_deadline"
"""The reason for items that were not sent before the shutdown deadline. `Telemetry` logs them in one line."""
AFTER_SHUTDOWN: Final = "shut_down"
"""The reason for items that arrived after the shutdown."""
_LOG_RECORD: Final = "log record(s)"
_SIGNALS: Final = {
    "sentry.logs": _LOG_RECORD,
    "sentry.other": "error(s) or session(s)",
    "metrics": "collection(s) of metrics",
    "breach_listeners": "breach report(s)",
}
"""Names of lost items by stage. The other stages lose spans."""


class Losses:
    """Counts lost items. Thread-safe.

    The counts are visible in the OpenTelemetry counter `mita.pipeline.dropped`, in `counts()` and in a log line. After
    that line further losses of the same kind are only counted until `cool_down_s` has passed or the process ends.

    Args:
        cool_down_s: Seconds between two log lines about the same stage and reason.
        clock: Monotonic seconds.
    """

    def __init__(self, *, cool_down_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._lock = ForkSafeLock()
        self._counts: Counter[tuple[str, str]] = Counter()
        self._logged_at: dict[tuple[str, str], float] = {}
        self._logged: dict[tuple[str, str], int] = {}
        self._last_at: dict[tuple[str, str], float] = {}
        self._causes: dict[tuple[str, str], Cause] = {}
        self._explained: dict[tuple[str, str], Cause] = {}
        """The causes that a log line has named."""
        self._listeners: list[Callable[[str, str, int], None]] = []
        self._counter = metrics.get_meter("mita_otel").create_counter(
            semconv.DROPPED_COUNTER,
            unit="{span}",
            description="Lost spans and other telemetry, by stage and reason",
        )

    def listen(self, listener: Callable[[str, str, int], None]) -> None:
        """Call the listener at each later loss, with stage, reason and number."""
        self._listeners.append(listener)

    def add(self, stage: str, reason: str, count: int = 1, cause: Cause | None = None) -> None:
        """Count lost items.

        Args:
            stage: Where they were lost, such as `exporter.sentry`.
            reason: Why, such as `queue_full`.
            count: Number of lost items.
            cause: Destination, cause and next step for the log line. None: the usual ones for the reason.
        """
        if count <= 0:
            return
        key = (stage, reason)
        with self._lock:
            if cause is not None:
                self._causes[key] = cause
            self._counts[key] += count
            total = self._counts[key]
            now = self._last_at[key] = self._clock()
            log_now = (
                reason != DEADLINE_PASSED
                and now - self._logged_at.get(key, float("-inf")) >= self._cool_down_s
            )
            if log_now:
                self._logged_at[key], self._logged[key] = now, total
        self._counter.add(count, {"stage": stage, "reason": reason})
        for listener in self._listeners:
            listener(stage, reason, count)
        if log_now:
            self._log(key, total)

    def log_rest(self) -> None:
        """Log the losses that were not logged yet, because the process ends."""
        with self._lock:
            rest = {
                key: total
                for key, total in self._counts.items()
                if key[1] != DEADLINE_PASSED and total > self._logged.get(key, 0)
            }
            self._logged.update(rest)
        for key, total in rest.items():
            self._log(key, total)

    def cause_of(self, stage: str, reason: str) -> Cause:
        """Return destination, cause and next step of the latest loss at a stage for a reason."""
        return self._causes.get((stage, reason)) or usual_cause(stage, reason)

    def total(self) -> int:
        """Return the number of lost items of all stages."""
        with self._lock:
            return self._counts.total()

    def counts(self) -> dict[tuple[str, str], int]:
        """Return the numbers of lost items, by (stage, reason)."""
        with self._lock:
            return dict(self._counts)

    def _log(self, key: tuple[str, str], total: int) -> None:
        stage, reason = key
        cause = self.cause_of(stage, reason)
        if self._explained.get(key) == cause:
            _logger.warning(
                "telemetry lost at %s: %d %s so far (%s), for the same cause",
                stage,
                total,
                signal_of(stage),
                reason,
            )
            return
        self._explained[key] = cause
        _logger.warning(
            "telemetry lost at %s: %d %s so far (%s), not delivered to %s: %s; %s",
            stage,
            total,
            signal_of(stage),
            reason,
            cause.destination,
            cause.why,
            cause.fix,
        )

    def abandoned(self) -> dict[str, int]:
        """Return the numbers of items that were not sent before a deadline, by stage."""
        return {stage: count for (stage, reason), count in self.counts().items() if reason == DEADLINE_PASSED}

    def recent(self, seconds: float) -> dict[tuple[str, str], int]:
        """Return the total counts of the kinds that had a loss within the last seconds, by (stage, reason)."""
        with self._lock:
            since = self._clock() - seconds
            return {key: count for key, count in self._counts.items() if self._last_at[key] >= since}


def signal_of(stage: str) -> str:
    """Return the name of the items that a stage loses."""
    return _LOG_RECORD if stage.startswith("logs.") else _SIGNALS.get(stage, "span(s)")
