"""Limits and rules as a Prometheus rule file, over the metrics that OpenTelemetry's Prometheus exporter shows.

Prometheus' `increase()` says nothing of the first value of a new series: a first error would be no error. So a series that
was not there at the window's beginning counts whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from mita_otel.latency.measures import METRICS
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertRule
from mita_otel.policy.flat import values
from mita_otel.policy.spelling import write_key

_ERRORS: Final = "mita_errors_total"
_SECURITY: Final = "mita_security_events_total"
_BREACHES: Final = "mita_latency_breaches_total"
_BURN_RATE: Final = "mita_latency_burn_rate"
_DROPPED: Final = "mita_pipeline_dropped_total"
_LIMITS: Final = "mita_latency_limit_seconds"
_LIMIT_SECTIONS: Final = frozenset(
    {"api", "database", "financial", "background", "outgoing", "cache", "consumer", "mobile", "checkout"}
)
_USUAL: Final = "1h"


@dataclass(frozen=True, slots=True)
class PrometheusRule:
    """A rule of a group."""

    expr: str
    alert: str = ""
    """The alert's name; empty: a recording rule."""
    record: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What is written, and what could not be."""

    groups: dict[str, tuple[PrometheusRule, ...]]
    left_out: dict[str, str]
    """Rules that no metric of ours can stand for, and why."""

    def yaml(self) -> str:
        """Return the file. Texts are written as JSON writes them, which is YAML as well."""
        lines = [f"# not in here: {name}: {why}" for name, why in self.left_out.items()]
        lines.append("groups:")
        for group, rules in self.groups.items():
            lines += [f"  - name: {json.dumps(group)}", "    rules:"]
            for rule in rules:
                kind, name = ("alert", rule.alert) if rule.alert else ("record", rule.record)
                lines += [f"      - {kind}: {json.dumps(name)}", f"        expr: {json.dumps(rule.expr)}"]
                for part, entries in (("labels", rule.labels), ("annotations", rule.annotations)):
                    if entries:
                        lines.append(f"        {part}:")
                        lines += [
                            f"          {key}: {json.dumps(text, ensure_ascii=False)}"
                            for key, text in entries.items()
                        ]
        return "\n".join([*lines, ""])


def rule_file(policy: Policy, environment: str) -> RuleFile:
    """Return the policy's limits and rules for Prometheus."""
    alerts: list[PrometheusRule] = []
    left_out: dict[str, str] = {}
    for name, rule in policy.alerts.rules.items():
        if not rule.enabled:
            continue
        expr, why = _expression(policy, rule)
        if not expr:
            left_out[name] = why
            continue
        labels = {
            "severity": rule.urgency,
            "rule": name,
            "environment": environment,
            "channels": ",".join(rule.channels),
        }
        annotations = {"summary": rule.title, "escalation": rule.escalation}
        alerts.append(
            PrometheusRule(
                expr,
                alert=_camel(name),
                labels=labels,
                annotations={k: v for k, v in annotations.items() if v},
            )
        )
    return RuleFile({"mita-otel limits": tuple(_limits(policy)), "mita-otel alerts": tuple(alerts)}, left_out)


def _limits(policy: Policy) -> Iterator[PrometheusRule]:
    for key, value in values(policy):
        is_limit = key[0] == "thresholds" and key[1] in _LIMIT_SECTIONS
        if is_limit and isinstance(value, int | float) and not isinstance(value, bool):
            yield PrometheusRule(
                f"vector({value / 1000:g})", record=_LIMITS, labels={"setting": write_key(key)}
            )


def _expression(policy: Policy, rule: AlertRule) -> tuple[str, str]:
    """Return the expression, or why there is none."""
    if rule.is_counted:
        return _counted(rule)
    window = f"{rule.window_s}s"
    match rule.on[0]:
        case "failures":
            failed, total = (_spans(rule, window, only) for only in ("failed", "all"))
            if rule.above is not None:
                return f"{failed} / {total} > {rule.above:g} and {total} >= {rule.min_count}", ""
            return f"{failed} >= {rule.count}", ""
        case "volume":
            total = _spans(rule, window, "all")
            usual = f"quantile_over_time(0.5, ({total})[{_USUAL}:{window}] offset {window})"
            parts = []
            if rule.below_usual is not None:
                parts.append(f"({total} < {rule.below_usual:g} * {usual} and {usual} >= {rule.min_count})")
            if rule.above_usual is not None:
                parts.append(f"({total} > {rule.above_usual:g} * {usual} and {total} >= {rule.min_count})")
            return " or ".join(parts), ""
        case "burn_rate":
            found = []
            for name in rule.windows:
                limit = policy.thresholds.objective.windows[name].burn_rate
                long, short = (
                    f'max by (rule) ({_BURN_RATE}{{window="{name}",length="{length}"}}) >= {limit:g}'
                    for length in ("long", "short")
                )
                found.append(f"({long} and {short})")
            return " or ".join(found), ""
        case _:
            return f"sum by (stage, reason) ({_increase(_DROPPED, '', window)}) > 0", ""


def _counted(rule: AlertRule) -> tuple[str, str]:
    if rule.source == "mobile" or rule.unhandled:
        return "", "no metric tells the app's crashes from other errors"
    if rule.on == ("compliance",):
        return "", "no metric counts violations"
    if rule.operations or (rule.names and rule.on != ("breaches",)):
        return "", "no metric knows names or operations"
    found = []
    window = f"{rule.window_s}s"
    for stream in rule.on:
        if stream == "errors":
            found.append(
                _increase(_ERRORS, _labels(category=rule.categories, severity=rule.severities), window)
            )
        elif stream == "security":
            labels = _labels(severity=rule.severities, event_type=rule.except_names, unlike=("event_type",))
            found.append(_increase(_SECURITY, labels, window))
        elif stream == "breaches":
            found.append(_increase(_BREACHES, _labels(kind=rule.kinds, rule=rule.names), window))
    sums = " + ".join(f"(sum({one}) or vector(0))" for one in found)
    return f"{sums} >= {rule.count}", ""


def _spans(rule: AlertRule, window: str, only: str) -> str:
    """Return the number of spans of the rule's kinds within its window."""
    names = dict.fromkeys(METRICS.get(kind, "mita.operation.duration") for kind in rule.kinds or METRICS)
    labels = '{error_type!=""}' if only == "failed" else ""
    counts = (f"{name.replace('.', '_')}_seconds_count" for name in names)
    sums = [f"(sum({_increase(one, labels, window)}) or vector(0))" for one in counts]
    return f"({' + '.join(sums)})"


def _increase(metric: str, labels: str, window: str) -> str:
    series = f"{metric}{labels}"
    return f"({series} unless {series} offset {window}) or increase({series}[{window}])"


def _labels(*, unlike: tuple[str, ...] = (), **wanted: Any) -> str:
    parts = []
    for name, texts in wanted.items():
        if texts:
            pattern = "|".join(".*".join(map(re.escape, text.split("*"))) for text in texts)
            parts.append(f"{name}{'!~' if name in unlike else '=~'}{json.dumps(pattern)}")
    return f"{{{','.join(parts)}}}" if parts else ""


def _camel(name: str) -> str:
    return "Mita" + "".join(part.capitalize() for part in re.split(r"\W|_", name))
