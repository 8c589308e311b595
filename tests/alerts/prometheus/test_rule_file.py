"""`mita-otel policy export --prometheus`: a rule file that Prometheus reads, with the policy's numbers in it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from alerts.kit import policy_with
from alerts.prometheus.promql import promql_parser, selected
from alerts.prometheus.promtool import alert_of, check, tool
from mita_otel.alerts.prometheus.expressions import BREACHES
from mita_otel.alerts.prometheus.recording_rules import increase
from mita_otel.alerts.prometheus.rule_file import rule_file
from mita_otel.alerts.prometheus.yaml_format import duration
from mita_otel.policy import Policy, default_policy

Label = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
Duration = Annotated[str, Field(pattern=r"^\d+(ms|s|m|h|d)$")]


class Rule(BaseModel):
    """As Prometheus' documentation of recording and alerting rules has it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    alert: str | None = None
    record: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")] | None = None
    expr: str
    for_: Annotated[Duration | None, Field(alias="for")] = None
    keep_firing_for: Duration | None = None
    labels: dict[Label, str] = {}
    annotations: dict[Label, str] = {}


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    interval: Duration
    rules: list[Rule]


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    groups: list[Group]


def written(policy: Policy, environment: str = "production") -> File:
    return File.model_validate(yaml.safe_load(rule_file(policy, environment).yaml()))


EVERYTHING = policy_with(
    {
        "critical_financial_errors": {"group_by": ("category", "severity")},
        "mobile_crashes": {"source": "service", "group_by": ("category",), "quiet_s": 0.5},
        "broken_limits": {"group_by": ()},
        "pci_violation": {"names": ("PCI-DSS 4.0 §3", 'a "quoted" one', "back\\slash*")},
        "unusual_volume": {"kinds": (), "above_usual": None},
        "slow_payments": {
            "title": "{{ slow }} payments: 5 %",
            "on": ("breaches", "compliance"),
            "names": ("api.*",),
            "count": 2,
            "window_s": 90,
            "urgency": "info",
            "channels": (),
        },
        "failing": {
            "title": "Failing",
            "on": ("failures",),
            "kinds": ("financial", "mobile_screen", "cache"),
            "above": 0.5,
            "count": 3,
            "window_s": 3661,
            "urgency": "info",
            "channels": ("devops_slack",),
        },
    }
)
POLICIES = {
    **{name: (default_policy(name), name) for name in ("production", "staging", "development")},
    "everything": (EVERYTHING, 'a "strange" environment'),
    "nothing": (policy_with({}), "production"),
}


@pytest.mark.parametrize("name", POLICIES)
def test_the_file_is_valid_and_every_expression_is_promql(name: str) -> None:
    for group in written(*POLICIES[name]).groups:
        for rule in group.rules:
            assert (rule.alert is None) != (rule.record is None)
            promql_parser.parse(rule.expr)


def test_an_environment_without_alerts_exports_limits_only() -> None:
    file = rule_file(default_policy("development"), "development")
    assert [group.name for group in file.groups] == ["mita-otel limits"]
    assert '# not in here: all alert rules: alerts.start is "off"' in file.yaml()


@pytest.mark.parametrize("name", POLICIES)
def test_promtool_accepts_the_file(name: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(rule_file(*POLICIES[name]).yaml())
    check([tool("promtool"), "check", "rules", str(tmp_path / "rules.yml")])


@pytest.mark.parametrize("name", ["production", "staging", "everything"])
def test_every_series_of_an_alert_is_recorded_before_it(name: str) -> None:
    for group in written(*POLICIES[name]).groups:
        known: set[str] = set()
        for rule in group.rules:
            if rule.record is not None:
                known.add(rule.record)
                continue
            for series, _ in selected(rule.expr):
                assert series in known or series == "ALERTS", rule.alert


def alerts(environment: str = "production") -> dict[str, Rule]:
    return {
        rule.labels["rule"]: rule
        for group in written(default_policy(environment), environment).groups
        for rule in group.rules
        if rule.alert and rule.labels["step"] == "0"
    }


def test_the_file_has_the_thresholds_of_the_monitoring_guide() -> None:
    found = alerts()
    assert found["critical_financial_errors"].expr == (
        'sum by (job) (mita:errors:increase1m{severity=~"critical|security_critical"}) >= 1'
    )
    assert found["payment_processing_failures"].expr == (
        'sum by (job) (mita:errors:increase5m{category=~"payment_processing"}) >= 3'
    )
    assert "mita:security:increase1m|mita:errors:increase1m" in found["authentication_security_events"].expr
    assert "> 0.05 and" in found["high_error_rate"].expr
    assert "> 0.2 and" in alerts("staging")["high_error_rate"].expr
    assert found["critical_financial_errors"].labels == {
        "severity": "critical",
        "rule": "critical_financial_errors",
        "environment": "production",
        "step": "0",
        "channels": "finance_email,finance_slack,finance_pagerduty",
    }
    assert found["critical_financial_errors"].keep_firing_for == "1h"
    assert found["high_error_rate"].keep_firing_for == "5m"


def test_the_file_has_every_default_rule() -> None:
    policy = default_policy("production")
    assert set(alerts()) == set(policy.alerts.rules)
    assert rule_file(policy, "production").left_out == {}
    assert "unusual_volume" not in alerts("staging"), "it is not enabled there"


def test_each_escalation_step_is_a_delayed_alert() -> None:
    file = rule_file(default_policy("production"), "production")
    steps = [alert_of(file, "payment_processing_failures", number) for number in (1, 2)]
    assert [step.hold_for for step in steps] == ["15m", "30m"]
    assert [step.labels["channels"] for step in steps] == [
        "finance_pagerduty",
        "devops_pagerduty,finance_email",
    ]
    staging = written(default_policy("staging"), "staging")
    assert {rule.labels["step"] for group in staging.groups for rule in group.rules if rule.alert} == {"0"}


def test_limits_are_recorded_in_seconds() -> None:
    found = {
        rule.labels["setting"]: rule.expr
        for group in written(default_policy("production")).groups
        for rule in group.rules
        if rule.record == "mita_latency_limit_seconds"
    }
    assert found["thresholds.api.methods.GET"] == "vector(0.5)"
    assert found["thresholds.financial.payment_processing"] == "vector(1.2)"
    assert len(found) > 20


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"names": ("ValueError",)}, "metrics have no exception types"),
        ({"except_names": ("ValueError",)}, "metrics have no exception types"),
        ({"group_by": ("name",)}, "metrics cannot group it by name"),
        ({"group_by": ("kind",)}, "metrics cannot group it by kind"),
        ({"operations": ("pay*",)}, "metrics have no operations"),
        ({"on": ("failures",), "group_by": ("operation",)}, "metrics cannot group spans by operation"),
        ({"on": ("volume",), "above_usual": 2, "group_by": ("kind",)}, "metrics cannot group spans by kind"),
        (
            {"on": ("burn_rate",), "windows": ("fast",), "kinds": ("api",)},
            "metrics can group error budgets by limit only",
        ),
    ],
)
def test_a_rule_that_metrics_cannot_express_is_left_out_with_the_reason(
    changes: dict[str, Any], why: str
) -> None:
    file = rule_file(policy_with({"payment_processing_failures": changes}), "production")
    assert file.left_out == {"payment_processing_failures": why}
    assert file.yaml().startswith(f"# not in here: payment_processing_failures: {why}\n")


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (0.5, "500ms"), (90, "90s"), (300, "5m"), (3600, "1h"), (3661, "3661s"), (259_200, "3d")],
)
def test_a_duration_uses_its_largest_whole_unit(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_an_increase_tolerates_a_late_scrape() -> None:
    assert "last_over_time(x[2m] offset 1m)" in increase("x", (), 60, 60)
    assert "last_over_time(x[70s] offset 1m)" in increase("x", (), 60, 10)


def test_rules_in_the_documentation_use_existing_series() -> None:
    page = (Path(__file__).parents[3] / "docs" / "alerts.md").read_text()
    section = page[page.index("## In Prometheus") :]
    blocks = map(yaml.safe_load, re.findall(r"```yaml\n(.*?)```", section, re.DOTALL))
    rules = [rule for block in blocks if isinstance(block, list) for rule in block]
    groups = rule_file(default_policy("production"), "production").groups
    known = {rule.record for group in groups for rule in group.rules if rule.record}
    looked_at = {name for rule in rules for name, _ in selected(rule["expr"])}
    assert looked_at <= known | {BREACHES}
    assert len(looked_at) == len(rules) == 2
