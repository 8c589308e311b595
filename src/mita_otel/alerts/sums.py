"""Counts spans for rules on failures, volume and error budgets: by rule and a short while, before any sampling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from mita_otel.alerts.matching import is_named
from mita_otel.alerts.points import OTHER, Point
from mita_otel.policy.alerts import AlertRule
from mita_otel.policy.limits import ObjectivePolicy
from mita_otel.processors.observation import Observation

SECOND_NS: Final = 1_000_000_000
_SLOTS: Final = 30
"""Points that a window is made of, at least: how exact its edges are."""
_LONGEST_SLOT_S: Final = 60


def slot_s(rule: AlertRule, objective: ObjectivePolicy) -> int:
    """Return how many seconds of spans become one point."""
    windows = [objective.windows[name].short_s for name in rule.windows if name in objective.windows]
    return max(1, min(min(windows, default=rule.window_s) // _SLOTS, _LONGEST_SLOT_S))


class SpanSums:
    """A `SpanObserver`: quick, and bounded by the rules and what they tell apart.

    Args:
        rules: The rules that are watched here, by name.
        objective: Windows of error budgets.
        max_subjects: Subjects of one rule; the rest is counted as one.
        clock_ns: Nanoseconds since the epoch.
        on_first: Called with the first span after a start or a fork: on the pipeline's thread, be quick.
    """

    def __init__(
        self,
        rules: Mapping[str, AlertRule],
        objective: ObjectivePolicy,
        *,
        max_subjects: int,
        clock_ns: Callable[[], int] = time.time_ns,
        on_first: Callable[[], None] = lambda: None,
    ) -> None:
        watched = {"failures", "volume", "burn_rate"}
        self._rules = {
            name: (rule, slot_s(rule, objective) * SECOND_NS)
            for name, rule in rules.items()
            if watched.intersection(rule.on)
        }
        self._max_subjects = max_subjects
        self._clock_ns = clock_ns
        self._on_first = on_first
        self._lock = threading.RLock()
        self._counted: dict[tuple[str, str, int], list[int]] = {}
        self._subjects: dict[str, set[str]] = {}
        self._seen = False

    @property
    def wanted(self) -> bool:
        """Whether any rule counts spans."""
        return bool(self._rules)

    def observe(self, observation: Observation) -> None:
        """Count the span."""
        if not self._seen:
            self._seen = True
            self._on_first()
        kind = observation.facts.kind
        if kind is None:
            return
        now_ns = self._clock_ns()
        for name, (rule, length_ns) in self._rules.items():
            if rule.kinds and kind not in rule.kinds:
                continue
            start_ns = now_ns - now_ns % length_ns
            if rule.on[0] != "burn_rate":
                self._count(name, self._subject(rule, observation), start_ns, observation.failed)
                continue
            broken = {breach.rule for breach in observation.verdict.breaches}
            for limit in observation.verdict.rules:
                if limit.limit_ms is not None and is_named(rule, limit.name):
                    self._count(name, limit.name if rule.group_by else "", start_ns, limit.name in broken)

    def take(self) -> list[Point]:
        """Return what was counted since the last call."""
        with self._lock:
            counted, self._counted = self._counted, {}
        return [
            Point(rule, subject, start_ns, hits, total, single=False)
            for (rule, subject, start_ns), (hits, total) in counted.items()
        ]

    def forget(self) -> None:
        """Forget everything: after a fork it belongs to the parent."""
        self._lock = threading.RLock()
        self._counted = {}
        self._subjects = {}
        self._seen = False

    def _subject(self, rule: AlertRule, observation: Observation) -> str:
        parts = {
            "kind": observation.operation.kind,
            "name": observation.operation.name,
            "operation": observation.operation.name,
        }
        return " · ".join(parts[name] for name in rule.group_by if name in parts)

    def _count(self, rule: str, subject: str, start_ns: int, hit: bool) -> None:
        with self._lock:
            known = self._subjects.setdefault(rule, set())
            if subject not in known:
                if len(known) >= self._max_subjects:
                    subject = OTHER
                else:
                    known.add(subject)
            counted = self._counted.setdefault((rule, subject, start_ns), [0, 0])
            counted[0] += hit
            counted[1] += 1
