"""Alert rules as PromQL: expressions that hold, by service, while the rule's condition is met.

In the names of metrics and attributes, dots become underscores, and units are appended.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from mita_otel import semconv
from mita_otel.alerts.prometheus.recording_rules import JOB, RecordingRules
from mita_otel.alerts.prometheus.yaml_format import duration, quoted
from mita_otel.latency.facts import CACHES, KINDS
from mita_otel.latency.measures import METRICS
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertRule
from mita_otel.policy.limits import BurnWindow, ObjectivePolicy

LIMITS: Final = "mita_latency_limit_seconds"
"""The policy's limits, which the rule file itself records."""
_OURS: Final = {"rule": "limit", "severity": "error_severity"}
"""Labels that alerts use themselves, and the names that the same labels of metrics get instead."""


def label(name: str) -> str:
    """Return the label of an attribute."""
    return name.replace(".", "_")


def counter(name: str) -> str:
    """Return the series of a counter."""
    return f"{label(name)}_total"


ERRORS: Final = counter(semconv.ERROR_COUNTER)
SECURITY: Final = counter(semconv.SECURITY_COUNTER)
VIOLATIONS: Final = counter(semconv.VIOLATION_COUNTER)
BREACHES: Final = counter(semconv.LATENCY_COUNTER)
CHECKED: Final = counter(semconv.LATENCY_CHECKED)
DROPPED: Final = counter(semconv.DROPPED_COUNTER)
ERROR_TYPE: Final = label(semconv.ERROR_TYPE)
_KIND: Final = label(semconv.OPERATION_KIND)
_SYSTEM: Final = label(semconv.DB_SYSTEM[0])


@dataclass(frozen=True, slots=True)
class EventCounter:
    """A counter of single events."""

    metric: str
    labels: tuple[str, ...]
    name: str = ""
    """Label that holds what rules call the name; empty: the metric has no such label."""


EVENTS: Final[Mapping[str, EventCounter]] = {
    "errors": EventCounter(ERRORS, ("category", "severity", "source", "handled")),
    "security": EventCounter(SECURITY, ("category", "severity", "event_type"), "event_type"),
    "compliance": EventCounter(VIOLATIONS, ("category", "severity", "regulation"), "regulation"),
    "breaches": EventCounter(BREACHES, ("kind", "rule"), "rule"),
}
"""Counters by the streams that rules watch."""


def spans_of(kind: str) -> str:
    """Return the series that counts the spans of a kind."""
    metric = f"{label(METRICS.get(kind, semconv.OPERATION_DURATION))}_seconds_count"
    if kind in ("database", "cache"):
        unlike = "!~" if kind == "database" else "=~"
        return f'{metric}{{{_SYSTEM}{unlike}"{"|".join(sorted(CACHES))}"}}'
    return metric if kind in METRICS else f'{metric}{{{_KIND}="{kind}"}}'


class NotInMetricsError(Exception):
    """Our metrics cannot express a rule; the message says why."""


@dataclass(frozen=True, slots=True)
class AlertExpression:
    """The expression of a rule, and the labels of its alerts."""

    expr: str
    labels: tuple[str, ...]
    """Labels that identify an alert of the rule."""


class Expressions:
    """Builds expressions on top of recording rules.

    Args:
        policy: The policy.
        recordings: Collects the recording rules.
    """

    def __init__(self, policy: Policy, recordings: RecordingRules) -> None:
        self._objective = policy.thresholds.objective
        self._usual = policy.alerts.usual
        self._recordings = recordings

    def of(self, rule: AlertRule) -> AlertExpression:
        """Return the expression of a rule.

        Raises:
            NotInMetricsError: Our metrics cannot express the rule.
        """
        if rule.is_counted:
            return self._counted(rule)
        match rule.on[0]:
            case "failures":
                return self._failures(rule)
            case "volume":
                return self._volume(rule)
            case "burn_rate":
                return self._burning(rule)
            case _:
                by = ("stage", "reason")
                lost = self._recordings.increase("dropped", DROPPED, by, rule.window_s)
                return _condition(f"{lost} > 0", (JOB, *by))

    def _counted(self, rule: AlertRule) -> AlertExpression:
        events = [EVENTS[stream] for stream in rule.on]
        if rule.operations:
            raise NotInMetricsError("metrics have no operations")
        if (rule.names and not all(one.name for one in events)) or (
            rule.except_names and not any(one.name for one in events)
        ):
            raise NotInMetricsError("metrics have no exception types")
        by = [JOB]
        for grouping in rule.group_by:
            found = {one.name if grouping == "name" else grouping for one in events}
            if not all(name and all(name in one.labels for one in events) for name in found):
                raise NotInMetricsError(f"metrics cannot group it by {grouping}")
            by += found
        selectors = [
            *_any_of("category", rule.categories),
            *_any_of("severity", rule.severities),
            *_any_of("kind", rule.kinds if "breaches" in rule.on else ()),
            *(() if rule.source == "any" else (f'source="{rule.source}"',)),
            *(('handled="false"',) if rule.unhandled else ()),
        ]
        for name in dict.fromkeys(one.name for one in events if one.name):
            selectors += [*_any_of(name, rule.names), *_any_of(name, rule.except_names, unlike=True)]
        series = [
            self._recordings.increase(stream, EVENTS[stream].metric, EVENTS[stream].labels, rule.window_s)
            for stream in rule.on
        ]
        return _condition(f"sum by ({', '.join(by)}) ({_series(series, selectors)}) >= {rule.count}", by)

    def _failures(self, rule: AlertRule) -> AlertExpression:
        _ungrouped(rule)
        failed, total = self._spans(rule, f'{ERROR_TYPE}!=""'), self._spans(rule)
        found = [f"{failed} / {total} > {rule.above:g}"] if rule.above is not None else []
        found += [f"{failed} >= {rule.count}"] if rule.count is not None else []
        found += [f"{total} >= {rule.min_count}"] if rule.min_count > 1 else []
        return _condition(" and ".join(found), (JOB,))

    def _volume(self, rule: AlertRule) -> AlertExpression:
        _ungrouped(rule)
        total, window = self._spans(rule), duration(rule.window_s)
        before = f"{total}[{duration(rule.window_s * self._usual.windows)}:{window}] offset {window}"
        usual = f"quantile_over_time(0.5, {before})"
        known = f"count_over_time({before}) >= {self._usual.min_windows}"
        found = []
        if rule.below_usual is not None:
            # A service that has stopped has no series at all.
            now = f"({total} or {usual} * 0)"
            found.append(
                f"({now} < {rule.below_usual:g} * {usual} and {usual} >= {rule.min_count} and {known})"
            )
        if rule.above_usual is not None:
            found.append(
                f"({total} > {rule.above_usual:g} * {usual} and {total} >= {rule.min_count} and {known})"
            )
        return _condition(" or ".join(found), (JOB,))

    def _burning(self, rule: AlertRule) -> AlertExpression:
        if rule.kinds or set(rule.group_by) - {"name"}:
            raise NotInMetricsError("metrics can group error budgets by limit only")
        by = [JOB, "rule"] if rule.group_by else [JOB]
        found = [
            self._budget(rule, self._objective.windows[name], by, matcher, 1 - target)
            for name in rule.windows
            if name in self._objective.windows
            for matcher, target in _targets(self._objective, "rule" in by)
        ]
        return _condition(" or ".join(found), by)

    def _budget(self, rule: AlertRule, window: BurnWindow, by: list[str], matcher: str, budget: float) -> str:
        """Return the expression of a budget that burns too fast in both windows."""
        long, short = (self._share(length_s, by, matcher) for length_s in (window.long_s, window.short_s))
        most = f"{window.burn_rate * budget:.6g}"
        return (
            f"({long[0]} / {long[1]} >= {most} and {short[0]} / {short[1]} >= {most} "
            f"and {long[1]} >= {rule.min_count})"
        )

    def _share(self, length_s: float, by: list[str], matcher: str) -> list[str]:
        """Return the number of spans that exceeded their limit, and of all spans with a limit."""
        length, sums = duration(length_s), []
        for what, only in (("latency_broken", '{broken="true"}'), ("latency_checked", "")):
            # Long windows have many spans, and restarts: an error of a few percent does not matter.
            expr = f"sum by ({JOB}, rule) (increase({CHECKED}{only}[{length}]))"
            name = self._recordings.record(what, length_s, expr)
            sums.append(f"sum by ({', '.join(by)}) ({_series([name], [matcher] if matcher else [])})")
        return sums

    def _spans(self, rule: AlertRule, only: str = "") -> str:
        """Return the number of spans of the rule's kinds within its window."""
        names = [
            self._recordings.increase(f"{kind}_spans", spans_of(kind), (ERROR_TYPE,), rule.window_s)
            for kind in rule.kinds or KINDS
        ]
        return f"sum by ({JOB}) ({_series(names, [only] if only else [])})"


def _condition(expr: str, by: Sequence[str]) -> AlertExpression:
    for theirs, renamed in _OURS.items():
        if theirs in by:
            expr = f'label_replace({expr}, "{renamed}", "$1", "{theirs}", "(.*)")'
    return AlertExpression(expr, tuple(_OURS.get(name, name) for name in by))


def _ungrouped(rule: AlertRule) -> None:
    if rule.group_by:
        raise NotInMetricsError(f"metrics cannot group spans by {', '.join(rule.group_by)}")


def _targets(objective: ObjectivePolicy, by_rule: bool) -> Iterator[tuple[str, float]]:
    """Yield each target, with the matcher of its limits."""
    if not by_rule or not objective.targets:
        yield "", objective.target
        return
    for name, target in objective.targets.items():
        yield f"rule={quoted(name)}", target
    [rest] = _any_of("rule", objective.targets, unlike=True)
    yield rest, objective.target


def _series(names: Sequence[str], matchers: Sequence[str]) -> str:
    """Return the selector of one or more series with the same matchers."""
    if len(names) == 1:
        return f"{names[0]}{{{','.join(matchers)}}}" if matchers else names[0]
    return f"{{{','.join([f'__name__=~{quoted(_pattern(names))}', *matchers])}}}"


def _any_of(name: str, texts: Iterable[str], *, unlike: bool = False) -> list[str]:
    """Return the matcher of a label against patterns in which `*` matches anything; without patterns, no matcher."""
    pattern = _pattern(texts)
    return [f"{name}{'!~' if unlike else '=~'}{quoted(pattern)}"] if pattern else []


def _pattern(texts: Iterable[str]) -> str:
    return "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts)
