"""The policy's limits and alert rules as a rule file for Prometheus (2.42 and later)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from mita_otel.alerts.prometheus.expressions import LIMITS, AlertExpression, Expressions, NotInMetricsError
from mita_otel.alerts.prometheus.recording_rules import PrometheusRule, RecordingRules
from mita_otel.alerts.prometheus.yaml_format import Node, duration, quoted, yaml
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertPolicy, AlertRule
from mita_otel.policy.toml_text import write_key

STEP: Final = "step"
"""Label of an alert with its escalation step; `0` is the alert itself."""
_LIMIT_SECTIONS: Final = frozenset(
    {"api", "database", "financial", "background", "outgoing", "cache", "consumer", "mobile", "checkout"}
)


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated in order."""

    name: str
    rules: tuple[PrometheusRule, ...]
    interval: str


@dataclass(frozen=True, slots=True)
class RuleFile:
    """The content of the file, and the rules that it cannot contain."""

    groups: tuple[RuleGroup, ...]
    left_out: Mapping[str, str]
    """Rules that our metrics cannot express, and the reasons."""

    def yaml(self) -> str:
        """Return the file."""
        groups: list[Node] = [
            {"name": one.name, "interval": one.interval, "rules": [rule.node() for rule in one.rules]}
            for one in self.groups
        ]
        comments = [f"not in here: {name}: {reason}" for name, reason in self.left_out.items()]
        return yaml({"groups": groups}, comments)


def rule_file(policy: Policy, environment: str) -> RuleFile:
    """Return the policy's limits and alert rules."""
    recordings = RecordingRules(policy.alerts.prometheus.scrape_s)
    expressions = Expressions(policy, recordings)
    alerts: list[PrometheusRule] = []
    left_out = policy.alerts.why_none
    for name, rule in policy.alerts.exported_rules.items():
        try:
            alerts += _alerts(policy.alerts, name, rule, expressions.of(rule), environment)
        except NotInMetricsError as error:
            left_out[name] = str(error)
    interval = duration(policy.alerts.prometheus.interval_s)
    groups = (
        RuleGroup("mita-otel limits", tuple(_limits(policy)), interval),
        RuleGroup("mita-otel alerts", (*recordings.rules, *alerts), interval),
    )
    return RuleFile(tuple(group for group in groups if group.rules), left_out)


def _alerts(
    policy: AlertPolicy, name: str, rule: AlertRule, expression: AlertExpression, environment: str
) -> Iterator[PrometheusRule]:
    """Yield the alert of a rule, and one for each step of its escalation."""
    quiet_s = policy.quiet_s if rule.is_counted else rule.window_s
    labels = {"severity": rule.urgency, "rule": name, "environment": environment}
    alert = "Mita" + "".join(part.capitalize() for part in re.split(r"\W|_", name))
    values_of_labels = " · ".join(f"{{{{ $labels.{one} }}}}" for one in expression.labels)
    summary = f"{rule.title.replace('{{', '{ {')}: {values_of_labels}"
    yield PrometheusRule(
        expression.expr,
        alert=alert,
        keep_firing_for=duration(quiet_s if rule.quiet_s is None else rule.quiet_s),
        labels={**labels, STEP: "0", "channels": ",".join(rule.channels)},
        annotations={"summary": summary},
    )
    firing = f'ALERTS{{rule={quoted(name)},environment={quoted(environment)},{STEP}="0",alertstate="firing"}}'
    for number, step in enumerate(policy.escalations.get(rule.escalation, ()), 1):
        delay = duration(step.after_minutes * 60)
        yield PrometheusRule(
            f"max without (alertstate) ({firing})",
            alert=f"{alert}Step{number}",
            hold_for=delay,
            labels={**labels, STEP: str(number), "channels": ",".join(step.channels)},
            annotations={"summary": f"{summary}: still firing after {delay}"},
        )


def _limits(policy: Policy) -> Iterator[PrometheusRule]:
    for key, value in policy.values():
        is_limit = key[0] == "thresholds" and key[1] in _LIMIT_SECTIONS
        if is_limit and isinstance(value, int | float) and not isinstance(value, bool):
            yield PrometheusRule(
                f"vector({value / 1000:g})", record=LIMITS, labels={"setting": write_key(key)}
            )
