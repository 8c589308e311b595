"""`mita-otel policy export --prometheus`: a rule file that Prometheus reads, over metrics that there are."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Annotated, Any, Literal

import promql_parser
import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field

from mita_otel.alerts.into_prometheus import rule_file
from mita_otel.policy import default_policy

Label = Annotated[str, Field(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]
METRICS = {
    "mita_errors_total", "mita_security_events_total", "mita_latency_breaches_total", "mita_latency_burn_rate",
    "mita_pipeline_dropped_total", "http_server_request_duration_seconds_count",
    "db_client_operation_duration_seconds_count", "db_client_connection_wait_time_seconds_count",
}  # fmt: skip


class Rule(BaseModel):
    """As Prometheus' documentation of recording and alerting rules has it."""

    model_config = ConfigDict(extra="forbid", strict=True)
    alert: Label | None = None
    record: Annotated[str, Field(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*$")] | None = None
    expr: str
    labels: dict[Label, str] = {}
    annotations: dict[Label, str] = {}


class Group(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    name: str
    rules: list[Rule]


class File(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    groups: list[Group]


def written(environment: str = "production") -> File:
    text = rule_file(default_policy(environment), environment).yaml()
    return File.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize("environment", ["production", "staging", "development"])
def test_the_file_is_one_of_prometheus_and_every_expression_is_promql(environment: str) -> None:
    for group in written(environment).groups:
        for rule in group.rules:
            assert (rule.alert is None) != (rule.record is None)
            promql_parser.parse(rule.expr)


def test_every_metric_is_one_that_there_is() -> None:
    exprs = " ".join(rule.expr for group in written().groups for rule in group.rules)
    assert set(re.findall(r"\b(?:mita|http|db)_\w+", exprs)) <= METRICS


def rules(kind: Literal["alert", "record"], environment: str = "production") -> dict[str, Rule]:
    found: dict[str, Any] = {}
    for group in written(environment).groups:
        for rule in group.rules:
            if kind == "alert" and rule.alert:
                found[rule.labels["rule"]] = rule
            elif kind == "record" and rule.record:
                found[rule.labels["setting"]] = rule
    return found


def test_the_guides_rules_are_there_with_their_numbers() -> None:
    found = rules("alert")
    assert found["critical_financial_errors"].expr.endswith("[60s])) or vector(0)) >= 1")
    assert 'severity=~"critical|security_critical"' in found["critical_financial_errors"].expr
    assert found["payment_processing_failures"].expr.endswith("[300s])) or vector(0)) >= 3")
    assert "> 0.05 and" in found["high_error_rate"].expr
    assert "mita_security_events_total" in found["authentication_security_events"].expr
    assert found["critical_financial_errors"].labels["severity"] == "critical"
    assert "> 0.2 and" in rules("alert", "staging")["high_error_rate"].expr


def test_limits_are_there_in_seconds() -> None:
    found = rules("record")
    assert found["thresholds.api.methods.GET"].expr == "vector(0.5)"
    assert found["thresholds.financial.payment_processing"].expr == "vector(1.2)"
    assert len(found) > 20


def test_what_no_metric_can_stand_for_is_said() -> None:
    told = rule_file(default_policy(), "production")
    assert set(told.left_out) == {"pci_violation", "compliance_violation", "mobile_crashes"}
    assert told.yaml().startswith("# not in here: pci_violation: no metric counts violations\n")


def test_promtool_finds_nothing_wrong(tmp_path: Path) -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (it comes with Prometheus): only our own checks ran")
    path = tmp_path / "rules.yml"
    path.write_text(rule_file(default_policy(), "production").yaml())
    done = subprocess.run(
        [promtool, "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
