"""Telemetry's health: runs the checks on request, at most once in the policy's `cache_s` seconds."""

from __future__ import annotations

import os
import platform
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final, Literal

from mita_otel.policy import Policy
from mita_otel.processors.pipeline import Pipeline
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.queues.losses import Losses
from mita_otel.redaction import Redactor
from mita_otel.sdk.health.check import Check, HealthReport, Status
from mita_otel.sdk.health.checks import (
    alert_check,
    audit_checks,
    export_checks,
    instrumentation_check,
    loss_check,
    queue_checks,
    redaction_check,
    sentry_check,
)
from mita_otel.sdk.health.libraries import installed_version, there_for_telemetry

if TYPE_CHECKING:
    from mita_otel.alerts.engine import AlertEngine, HealthResult
    from mita_otel.audit.installed import LazyAudit

View = Literal["sentry", "error_monitoring", "live", "ready"]
"""Selects the checks of a report."""

_SENTRY: Final = ("sentry:", "export:", "queue:", "telemetry:", "redaction:", "mobile:")
_READY: Final = "audit:spool"
"""The only local fault that makes a process not ready: mandatory audit entries cannot be recorded."""
_VERSIONS: Final = ("mita-otel", "opentelemetry-sdk", "sentry-sdk", "fastapi", "sqlalchemy", "pydantic")


@dataclass(frozen=True)
class HealthParts:
    """The components that are checked."""

    policy: Policy
    environment: str
    service: str
    redactor: Redactor
    pipeline: Pipeline
    losses: Losses
    audit: LazyAudit | None = None
    alerts: AlertEngine | None = None


class Health:
    """Reports the health of telemetry. Thread-safe. Results are cheap and cached for some seconds.

    Args:
        parts: The components that are checked.
        clock: Seconds since the epoch.
        monotonic: Monotonic seconds.
    """

    def __init__(
        self,
        parts: HealthParts,
        *,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._parts = parts
        self._policy = parts.policy.health
        self._clock = clock
        self._monotonic = monotonic
        self._digest = cache(parts.policy.digest)
        self._more: tuple[Callable[[], Iterable[Check]], ...] = ()
        # It reads the list of installed packages, which does not change while the process runs.
        self._not_missed = cache(there_for_telemetry)
        self._forget()
        after_fork_in_child(self._forget)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._started = self._monotonic()
        self._checked_at = float("-inf")
        self._checks: tuple[Check, ...] = ()
        self._canary_at = float("-inf")
        self._canary: Check | None = None

    def also(self, checks: Callable[[], Iterable[Check]]) -> None:
        """Add checks. They must be as cheap as the others."""
        self._more = (*self._more, checks)

    def report(self, view: View = "error_monitoring") -> HealthReport:
        """Return the report of a view.

        Args:
            view: `sentry`: whether captured telemetry is delivered. `error_monitoring`: all checks. `ready`: whether this
                process can accept requests. `live`: no checks, only that the process responds.
        """
        checks = () if view == "live" else self._cached_checks()
        if view == "ready":
            # A warning about delivery to the database does not make the process unready.
            checks = tuple(one for one in checks if one.name == _READY)
        elif view == "sentry":
            checks = tuple(one for one in checks if one.name.startswith(_SENTRY))
        return HealthReport(checks, self._clock(), self._about())

    def results(self) -> Iterator[HealthResult]:
        """Yield the results for alert rules on health."""
        from mita_otel.alerts.engine import HealthResult

        for check in self._cached_checks():
            yield HealthResult(check.name, check.status is Status.FAIL, check.said)

    def _cached_checks(self) -> tuple[Check, ...]:
        with self._lock:
            now = self._monotonic()
            if now - self._checked_at >= self._policy.cache_s:
                self._checks = tuple(self._run_checks(now))
                self._checked_at = now
            return self._checks

    def _run_checks(self, now: float) -> Iterator[Check]:
        parts, policy = self._parts, self._policy
        yield sentry_check(parts.pipeline.exporters)
        yield from export_checks(parts.pipeline, policy, self._clock())
        yield from queue_checks(parts.pipeline, parts.policy.export.queue, policy)
        yield loss_check(parts.losses, policy)
        yield self._redaction(now)
        yield from audit_checks(None if parts.audit is None else parts.audit.runtime.trail)
        yield alert_check(parts.alerts)
        yield instrumentation_check(self._not_missed)
        for checks in self._more:
            yield from checks()

    def _redaction(self, now: float) -> Check:
        if self._canary is None or now - self._canary_at >= self._policy.canary_s:
            self._canary = redaction_check(self._parts.redactor)
            self._canary_at = now
        return self._canary

    def _about(self) -> dict[str, Any]:
        return {
            "service": self._parts.service,
            "environment": self._parts.environment,
            "policy_sha256": self._digest(),
            "uptime_seconds": round(self._monotonic() - self._started, 1),
            "pid": os.getpid(),
            "python": platform.python_version(),
            "versions": dict(_versions()),
        }


def _versions() -> Iterator[tuple[str, str]]:
    for name in _VERSIONS:
        if found := installed_version(name):
            yield name, found
