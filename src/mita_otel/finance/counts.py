"""Counts errors, security events and violations, with a bounded number of names."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal

from opentelemetry import metrics

from mita_otel import semconv
from mita_otel.finance.categories import severity_of
from mita_otel.policy.finance import FinancePolicy

SCOPE: Final = "mita_otel.finance"
"""Name of the instrumentation scope."""
OTHER: Final = "(other)"
"""Replaces names beyond the limit."""


class FinanceCounts:
    """The counters of the financial API; thread-safe.

    Applications choose names: the first `finance.metrics.max_names` of each kind, and those of the policy, are
    counted separately.

    Args:
        policy: The known names, and the maximum number of others.
        meter: Creates the counters. None: a meter of the global provider.
    """

    def __init__(self, policy: FinancePolicy, meter: metrics.Meter | None = None) -> None:
        meter = meter or metrics.get_meter(SCOPE)
        most = policy.metrics.max_names
        logins = policy.security.brute_force
        self._categories = _Names(most, policy.categories)
        self._event_types = _Names(most, [*logins.failures, *logins.successes, logins.event_type])
        self._regulations = _Names(most)
        self._errors = meter.create_counter(
            semconv.ERROR_COUNTER, unit="{error}", description="Errors, by category, severity and source"
        )
        self._security_events = meter.create_counter(
            semconv.SECURITY_COUNTER, unit="{event}", description="Security events, by type and severity"
        )
        self._violations = meter.create_counter(
            semconv.VIOLATION_COUNTER, unit="{violation}", description="Violations, by regulation"
        )

    def error(self, category: str, severity: str, *, handled: bool) -> None:
        """Count an error of the service."""
        self._count_error(self._categories.shown(category), severity, "service", handled)

    def app_error(self, category: str, severity: str, *, handled: bool) -> None:
        """Count an error of a mobile app. Apps send arbitrary names, so only those of the policy are used."""
        known = severity_of(severity)
        shown = self._categories.known(category)
        self._count_error(shown, "" if known is None else known.value, "mobile", handled)

    def security_event(self, event_type: str, category: str, severity: str) -> None:
        """Count a security event."""
        labels = {
            "event_type": self._event_types.shown(event_type),
            "category": category,
            "severity": severity,
        }
        self._security_events.add(1, labels)

    def violation(self, regulation: str, category: str, severity: str) -> None:
        """Count a violation."""
        shown = self._regulations.shown(regulation)
        labels = {"regulation": shown, "category": category, "severity": severity}
        self._violations.add(1, labels)

    def _count_error(
        self, category: str, severity: str, source: Literal["service", "mobile"], handled: bool
    ) -> None:
        labels = {"category": category, "severity": severity, "source": source}
        self._errors.add(1, {**labels, "handled": "true" if handled else "false"})


class _Names:
    """A bounded set of names."""

    def __init__(self, most: int, known: Iterable[str] = ()) -> None:
        self._known = frozenset(known)
        self._most = most
        self._seen: set[str] = set()

    def known(self, name: str) -> str:
        return name if name in self._known else OTHER

    def shown(self, name: str) -> str:
        if name in self._known or name in self._seen:
            return name
        if len(self._seen) >= self._most:
            return OTHER
        self._seen.add(name)  # two threads at once may add one too many, which is harmless
        return name
