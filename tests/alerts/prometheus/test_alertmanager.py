"""`mita-otel policy export --alertmanager`: routes and receivers of each alert, without secrets."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from alerts.kit import policy_with
from alerts.prometheus.promtool import check, tool
from mita_otel.alerts.prometheus.alertmanager import alertmanager_file
from mita_otel.alerts.prometheus.rule_file import rule_file
from mita_otel.policy import Policy, default_policy

MAIL = {"sender": "alerts@bank.example", "starttls": "required", "placeholder_domain": "mita.finance"}
CHANNELS: dict[str, dict[str, Any]] = {
    "slack": {"kind": "slack", "variable": "SLACK_URL"},
    "pager": {"kind": "pagerduty", "variable": "PAGER_KEY"},
    "mail": {"kind": "email", "to": ["a@bank.example", "b@bank.example"]},
    "placeholder": {"kind": "email", "to": ["team@mita.finance"]},
    "anywhere": {"kind": "apprise", "variable": "APPRISE_URL"},
    "hook": {"kind": "webhook", "variable": "HOOK_URL", "signing_variable": "HOOK_KEY"},
}


def bank(rules: dict[str, Any] | None = None, **alerts: Any) -> Policy:
    """A policy with channels of every kind, and these rules."""
    recipients = {"channels": ("slack", "pager", "mail"), "escalation": "later"}
    later = [{"after_minutes": 5, "channels": ["pager"]}, {"after_minutes": 9, "channels": ["mail"]}]
    changes = {"critical_financial_errors": recipients} if rules is None else rules
    return policy_with(
        changes,
        **{"channels": CHANNELS, "escalations": {"later": later}, "email": MAIL, **alerts},
    )


def document(policy: Policy, environment: str = "production") -> Any:
    return yaml.safe_load(alertmanager_file(policy, environment).yaml())


def ours(found: Any) -> Any:
    [route] = found["route"]["routes"]
    return route


@pytest.mark.parametrize("environment", ["production", "staging", "development"])
def test_amtool_accepts_the_configuration(environment: str, tmp_path: Path) -> None:
    written = alertmanager_file(default_policy(environment), environment).yaml()
    (tmp_path / "alertmanager.yml").write_text(written)
    check([tool("amtool"), "check-config", str(tmp_path / "alertmanager.yml")])


def test_an_environment_without_alerts_has_no_routes() -> None:
    file = alertmanager_file(default_policy("development"), "development")
    assert ours(yaml.safe_load(file.yaml()))["routes"] == []
    assert '# not in here: all alert rules: alerts.start is "off"' in file.yaml()


def test_amtool_accepts_every_kind_of_channel(tmp_path: Path) -> None:
    amtool = tool("amtool")
    said = subprocess.run([amtool, "--version"], capture_output=True, text=True, check=True)
    found = re.search(r"version (\d+)\.(\d+)", said.stdout + said.stderr)
    assert found is not None
    channels: tuple[str, ...] = tuple(CHANNELS)
    if (int(found[1]), int(found[2])) < (0, 26):
        channels = tuple(name for name in channels if name != "hook")  # it has no url_file yet
    rules = {"critical_financial_errors": {"channels": channels, "cool_down_s": 0, "escalation": ""}}
    (tmp_path / "alertmanager.yml").write_text(alertmanager_file(bank(rules), 'an "odd" one').yaml())
    check([amtool, "check-config", str(tmp_path / "alertmanager.yml")])


def test_every_alert_of_the_rule_file_has_a_route() -> None:
    policy = bank(
        {
            "critical_financial_errors": {"channels": ("slack", "pager"), "escalation": "later"},
            "pci_violation": {"channels": ("mail",), "escalation": "", "cool_down_s": 60},
            "high_error_rate": {"enabled": False, "channels": ("mail",), "escalation": ""},
        }
    )
    alerts = [
        (rule.labels["rule"], rule.labels["step"], rule.labels["channels"])
        for group in rule_file(policy, "production").groups
        for rule in group.rules
        if rule.alert
    ]
    route = ours(document(policy))
    assert route["matchers"] == ['environment="production"', 'step=~".+"']
    routed = [(*one["matchers"], one["receiver"].replace("+", ",")) for one in route["routes"]]
    assert routed == [(f'rule="{rule}"', f'step="{step}"', recipients) for rule, step, recipients in alerts]
    assert len(routed) == 4
    assert route["repeat_interval"] == "15m"
    assert [one.get("repeat_interval") for one in route["routes"]] == [None, None, None, "1m"]
    assert route["group_by"] == ["alertname", "job"]


def test_other_alerts_get_no_receiver() -> None:
    found = document(bank())
    assert found["route"]["receiver"] == "none"
    assert found["receivers"][0] == {"name": "none"}


def test_amtool_sends_each_step_to_its_channels(tmp_path: Path) -> None:
    amtool = tool("amtool")
    (tmp_path / "alertmanager.yml").write_text(alertmanager_file(bank(), "production").yaml())
    for labels, receiver in (
        (("rule=critical_financial_errors", "step=0", "environment=production"), "slack+pager+mail"),
        (("rule=critical_financial_errors", "step=2", "environment=production"), "mail"),
        (("rule=critical_financial_errors", "step=0", "environment=staging"), "none"),
        (("rule=another", "step=0", "environment=production"), "none"),
        (("severity=critical",), "none"),
    ):
        command = [amtool, "config", "routes", "test", "--config.file=alertmanager.yml", *labels]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert done.stdout.strip() == receiver, labels


def test_secrets_are_files_and_no_value_is_written(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SLACK_URL", "PAGER_KEY", "HOOK_URL", "HOOK_KEY", "MITA_OTEL_SMTP_URL"):
        monkeypatch.setenv(name, f"https://secret-of-{name.lower()}@hooks.example")
    policy = bank({"critical_financial_errors": {"channels": tuple(CHANNELS), "escalation": ""}})
    file = alertmanager_file(policy, "production")
    assert "secret-of" not in file.yaml()
    [receiver] = [one for one in document(policy)["receivers"] if one["name"] != "none"]
    assert receiver["name"] == "slack+pager+mail+hook"
    assert receiver["slack_configs"][0]["api_url_file"] == "/etc/alertmanager/secrets/SLACK_URL"
    assert receiver["pagerduty_configs"][0]["routing_key_file"] == "/etc/alertmanager/secrets/PAGER_KEY"
    assert receiver["webhook_configs"][0]["url_file"] == "/etc/alertmanager/secrets/HOOK_URL"
    assert receiver["email_configs"][0]["to"] == "a@bank.example, b@bank.example"
    assert all(one[0]["send_resolved"] for kind, one in receiver.items() if kind != "name")


def test_limitations_of_alertmanager_are_comments() -> None:
    policy = bank({"critical_financial_errors": {"channels": ("placeholder", "anywhere"), "escalation": ""}})
    file = alertmanager_file(policy, "production")
    assert file.left_out == {
        "placeholder": "team@mita.finance is a placeholder; set your own address",
        "anywhere": "Alertmanager does not support apprise",
    }
    head = [line for line in file.yaml().splitlines() if line.startswith("#")]
    assert "# not in here: anywhere: Alertmanager does not support apprise" in head
    assert "# not signed: hook: Alertmanager cannot sign webhooks" in head
    assert any("Alertmanager has no acknowledgement" in line for line in head)
    assert ours(document(policy))["routes"][0]["receiver"] == "none"


def test_a_cool_down_of_zero_is_a_valid_interval() -> None:
    assert ours(document(bank(cool_down_s=0)))["repeat_interval"] == "5s"
