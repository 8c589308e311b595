"""Counts spans for rules on failures, volume and error budgets, by rule and short interval, before any sampling."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Final

from mita_otel.alerts.events import OTHER, Sample, name_matches
from mita_otel.policy.alerts import AlertRule
from mita_otel.policy.limits import ObjectivePolicy
from mita_otel.processors.observation import Observation

SECOND_NS: Final = 1_000_000_000
_INTERVALS: Final = 30
"""Minimum number of intervals in a window: how exact its edges are."""
_LONGEST_INTERVAL_S: Final = 60


def interval_s(rule: AlertRule, objective: ObjectivePolicy) -> int:
    """Return the seconds of spans that become one sample."""
    windows = [objective.windows[name].short_s for name in rule.windows if name in objective.windows]
    return max(1, min(min(windows, default=rule.window_s) // _INTERVALS, _LONGEST_INTERVAL_S))


class SpanCounter:
    """A `SpanObserver`. Quick; its memory is bounded by the rules and their subjects.

    Args:
        rules: The rules that this process evaluates, by name.
        objective: Windows of error budgets.
        max_subjects: Subjects of one rule; further subjects are counted together.
        clock_ns: Nanoseconds since the epoch.
        on_first: Called once after a start or a fork, with the first span, on the pipeline's thread.
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
        streams = {"failures", "volume", "burn_rate"}
        self._rules = {
            name: (rule, interval_s(rule, objective) * SECOND_NS)
            for name, rule in rules.items()
            if streams.intersection(rule.on)
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
            exceeded = {breach.rule for breach in observation.verdict.breaches}
            for limit in observation.verdict.rules:
                if limit.limit_ms is not None and name_matches(rule, limit.name):
                    self._count(name, limit.name if rule.group_by else "", start_ns, limit.name in exceeded)

    def take(self) -> list[Sample]:
        """Return the samples since the last call."""
        with self._lock:
            counted, self._counted = self._counted, {}
        return [
            Sample(rule, subject, start_ns, hits, total, single=False)
            for (rule, subject, start_ns), (hits, total) in counted.items()
        ]

    def reset(self) -> None:
        """Discard everything: after a fork it belongs to the parent."""
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
