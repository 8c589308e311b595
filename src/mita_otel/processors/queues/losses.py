"""Counts lost telemetry by stage and reason, logs it at intervals, and explains it: destination, cause, next step."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from opentelemetry import metrics

from mita_otel import semconv
from mita_otel.processors.queues.forks import ForkSafeLock

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
_DOCTOR: Final = "run `mita-otel doctor`"
_DESTINATIONS: Final[Mapping[str, str]] = {
    "sentry": "Sentry",
    "sentry.logs": "Sentry",
    "sentry.other": "Sentry",
    "pipeline": "the exporters",
    "metrics": "the metrics exporter",
    "breach_listeners": "the breach listeners",
    "latency_windows": "the store",
    "alerts": "the alert channels",
}
"""Destination by stage. An exporter's stage ends with its name."""
_REASONS: Final[Mapping[str, tuple[str, str]]] = {
    "queue_full": ("the queue is full", "raise export.queue.exporter_max_spans of the policy"),
    "pipeline: queue_full": ("the queue is full", "raise export.queue.max_spans of the policy"),
    "shut_down": ("telemetry was shut down before", "end spans before shutdown()"),
    "not_created": ("the exporter could not be created", "read the error line of the start"),
    "export_failed": ("the exporter reported a failure", f"read its log lines, and {_DOCTOR}"),
    "exporter_failed": ("the exporter raised an exception", f"read its log lines, and {_DOCTOR}"),
    "processor_failed": ("a processor raised an exception", "read the debug log of mita_otel"),
    "too_large": ("the backend refuses its size", "raise the backend's limit for requests"),
    "not_encodable": ("a value cannot be encoded", "read the exporter's log lines"),
    "not_redactable": ("redaction failed, so nothing was sent", "report it with the error's type"),
    "callback_failed": ("an observable instrument's callback was cancelled", "check the callbacks"),
    "listener_failed": ("a listener raised an exception", "read the log line with its type"),
    "not_copyable": ("a log record could not be copied", "read the debug log of mita_otel"),
    "network_error": ("no response", _DOCTOR),
    "send_error": ("too large for Sentry", "lower sentry.max_event_kilobytes of the policy"),
    "internal_sdk_error": ("sending failed in this process", "set SENTRY_DEBUG=1 for details"),
    "queue_overflow": ("the queue is full", "raise sentry.max_envelopes or sentry.senders of the policy"),
    "ratelimited": ("Sentry limits the rate", "check the project's quota and rate limits"),
    "ratelimit_backoff": ("Sentry limits the rate", "check the project's quota and rate limits"),
    "before_send": ("the service's before_send dropped it", "check sentry_sdk.init()"),
    "too_many_spans": ("the trace has too many spans", "split long traces"),
    "store_failed": ("the database cannot be written", f"check MITA_OTEL_DATABASE_URL, and {_DOCTOR}"),
}
"""Cause and next step by reason, or by stage and reason."""


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


class Cause(NamedTuple):
    """Why telemetry did not arrive."""

    destination: str
    """Product and address, such as `Sentry at o1.ingest.sentry.io:443`."""
    why: str
    """What went wrong."""
    fix: str
    """What to do about it."""

    def __str__(self) -> str:
        return f"{self.destination}: {self.why}; {self.fix}"


def usual_cause(stage: str, reason: str) -> Cause:
    """Return the cause of a loss that is known by stage and reason only."""
    group, _, name = stage.partition(".")
    destination = _DESTINATIONS.get(stage) or (f"exporter {name}" if group in {"exporter", "logs"} else stage)
    why, fix = (
        _REASONS.get(f"{stage}: {reason}") or _REASONS.get(reason) or (reason.replace("_", " "), _DOCTOR)
    )
    return Cause(destination, why, fix)
