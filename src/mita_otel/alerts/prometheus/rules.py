"""The policy's limits and rules as a rule file."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.alerts.prometheus.counting import Recordings
from mita_otel.alerts.prometheus.expressions import Condition, Expressions, NoMetricError
from mita_otel.alerts.prometheus.metrics import LIMITS
from mita_otel.alerts.prometheus.rule_file import PrometheusRule, RuleFile, RuleGroup
from mita_otel.alerts.prometheus.writing import duration, quoted
from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertPolicy, AlertRule
from mita_otel.policy.toml_text import write_key

STEP: Final = "step"
"""The label of an alert that says how far it has been escalated: `0` as it begins."""
_LIMIT_SECTIONS: Final = frozenset(
    {"api", "database", "financial", "background", "outgoing", "cache", "consumer", "mobile", "checkout"}
)


def rule_file(policy: Policy, environment: str) -> RuleFile:
    """Return the policy's limits and rules for Prometheus."""
    recordings = Recordings(policy.alerts.prometheus.scrape_s)
    expressions = Expressions(policy, recordings)
    alerts: list[PrometheusRule] = []
    left_out: dict[str, str] = {}
    for name, rule in policy.alerts.rules.items():
        if not rule.enabled:
            continue
        try:
            alerts += _alerts(policy.alerts, name, rule, expressions.of(rule), environment)
        except NoMetricError as error:
            left_out[name] = str(error)
    interval = duration(policy.alerts.prometheus.interval_s)
    groups = (
        RuleGroup("mita-otel limits", tuple(_limits(policy)), interval),
        RuleGroup("mita-otel alerts", (*recordings.rules, *alerts), interval),
    )
    return RuleFile(tuple(group for group in groups if group.rules), left_out)


def _alerts(
    policy: AlertPolicy, name: str, rule: AlertRule, condition: Condition, environment: str
) -> Iterator[PrometheusRule]:
    """Yield a rule's alert, and one for each step of its escalation."""
    quiet_s = policy.quiet_s if rule.is_counted else rule.window_s
    labels = {"severity": rule.urgency, "rule": name, "environment": environment}
    alert = "Mita" + "".join(part.capitalize() for part in re.split(r"\W|_", name))
    shown = " · ".join(f"{{{{ $labels.{one} }}}}" for one in condition.labels)
    about = f"{rule.title.replace('{{', '{ {')}: {shown}"
    yield PrometheusRule(
        condition.expr,
        alert=alert,
        keep_firing_for=duration(quiet_s if rule.quiet_s is None else rule.quiet_s),
        labels={**labels, STEP: "0", "channels": ",".join(rule.channels)},
        annotations={"summary": about},
    )
    firing = f'ALERTS{{rule={quoted(name)},environment={quoted(environment)},{STEP}="0",alertstate="firing"}}'
    for number, step in enumerate(policy.escalations.get(rule.escalation, ()), 1):
        waited = duration(step.after_minutes * 60)
        yield PrometheusRule(
            f"max without (alertstate) ({firing})",
            alert=f"{alert}Step{number}",
            hold_for=waited,
            labels={**labels, STEP: str(number), "channels": ",".join(step.channels)},
            annotations={"summary": f"{about}: still there after {waited}"},
        )


def _limits(policy: Policy) -> Iterator[PrometheusRule]:
    for key, value in policy.values():
        is_limit = key[0] == "thresholds" and key[1] in _LIMIT_SECTIONS
        if is_limit and isinstance(value, int | float) and not isinstance(value, bool):
            yield PrometheusRule(
                f"vector({value / 1000:g})", record=LIMITS, labels={"setting": write_key(key)}
            )
