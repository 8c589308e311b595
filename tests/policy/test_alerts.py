"""The policy's alerts: the guide's rules in every detail, and messages for invalid settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel import environment_variables
from mita_otel.policy import check_policy, default_policy, salvage_policy
from policy.conftest import Complaints, WriteFile

ALERTS = default_policy().alerts


def kinds_of(channels: tuple[str, ...]) -> set[str]:
    return {ALERTS.channels[name].kind for name in channels}


def test_the_rule_for_critical_financial_errors_is_the_guides() -> None:
    rule = ALERTS.rules["critical_financial_errors"]
    assert (rule.on, rule.count, rule.window_s) == (("errors",), 1, 60)
    assert "critical" in rule.severities
    assert kinds_of(rule.channels) == {"email", "slack", "pagerduty"}


def test_the_rule_for_payment_processing_failures_is_the_guides() -> None:
    rule = ALERTS.rules["payment_processing_failures"]
    assert (rule.on, rule.categories, rule.count, rule.window_s) == (
        ("errors",),
        ("payment_processing",),
        3,
        300,
    )
    assert rule.channels == ("payments_email", "payments_slack")
    assert ALERTS.escalations[rule.escalation][0].after_minutes == 15


def test_the_rule_for_authentication_security_events_is_the_guides() -> None:
    rule = ALERTS.rules["authentication_security_events"]
    assert "security" in rule.on and (rule.count, rule.window_s) == (1, 60)
    assert rule.channels == ("security_email", "security_pagerduty")


def test_the_rule_for_a_high_error_rate_is_the_guides() -> None:
    rule = ALERTS.rules["high_error_rate"]
    assert (rule.on, rule.kinds, rule.above, rule.window_s) == (("failures",), ("api",), 0.05, 300)
    assert ALERTS.escalations[rule.escalation][0].after_minutes == 15


GUIDE = {
    "critical_financial_errors": (1, None, 60, ("finance_email", "finance_slack", "finance_pagerduty"), 0),
    "payment_processing_failures": (3, None, 300, ("payments_email", "payments_slack"), 15),
    "authentication_security_events": (1, None, 60, ("security_email", "security_pagerduty"), 0),
    "high_error_rate": (None, 0.05, 300, ("devops_email", "devops_slack"), 15),
}
"""Count, ratio, seconds, first channels, minutes until escalation (0: PagerDuty is a first channel)."""


@pytest.mark.parametrize("name", GUIDE)
def test_each_rule_has_the_numbers_and_channels_of_the_guide(name: str) -> None:
    rule = ALERTS.rules[name]
    count, above, window_s, channels, minutes = GUIDE[name]
    assert (rule.count, rule.above, rule.window_s, rule.channels) == (count, above, window_s, channels)
    assert rule.enabled and rule.evaluated_by == "both"
    assert ("pagerduty" in kinds_of(rule.channels)) is (minutes == 0)
    if minutes:
        first = ALERTS.escalations[rule.escalation][0]
        assert first.after_minutes == minutes and kinds_of(first.channels) == {"pagerduty"}


def test_each_channel_has_the_recipient_of_the_guide() -> None:
    channels = ALERTS.channels
    assert channels["finance_email"].to == ("finance-team@mita.finance",)
    assert channels["security_email"].to == ("security@mita.finance",)
    assert channels["compliance_email"].to == ("compliance@mita.finance",)
    assert {name: (channels[name].variable, channels[name].sentry) for name in channels if channels[name].variable} == {
        "finance_slack": ("SLACK_FINANCE_WEBHOOK", "#finance-alerts"),
        "security_slack": ("SLACK_SECURITY_WEBHOOK", "#security-alerts"),
        "payments_slack": ("SLACK_PAYMENTS_WEBHOOK", "#payments-critical"),
        "compliance_slack": ("SLACK_COMPLIANCE_WEBHOOK", "#compliance-critical"),
        "devops_slack": ("SLACK_DEVOPS_WEBHOOK", "#devops-alerts"),
        "finance_pagerduty": ("PAGERDUTY_FINANCE_KEY", "Finance Critical"),
        "security_pagerduty": ("PAGERDUTY_SECURITY_KEY", "Security Critical"),
        "compliance_pagerduty": ("PAGERDUTY_COMPLIANCE_KEY", "Compliance Critical"),
        "devops_pagerduty": ("PAGERDUTY_DEVOPS_KEY", "DevOps"),
    }  # fmt: skip


def test_all_channels_of_the_guide_are_configured() -> None:
    channels = ALERTS.channels.values()
    assert {one.sentry for one in channels if one.kind == "slack"} >= {
        "#finance-alerts",
        "#security-alerts",
        "#payments-critical",
        "#compliance-critical",
    }
    assert {address for one in channels for address in one.to} >= {
        "finance-team@mita.finance",
        "security@mita.finance",
        "compliance@mita.finance",
    }
    assert {one.sentry for one in channels if one.kind == "pagerduty"} >= {
        "Finance Critical",
        "Security Critical",
        "Compliance Critical",
    }
    assert ALERTS.cool_down_s == 15 * 60


def test_every_variable_of_a_channel_is_documented() -> None:
    assert {one.variable for one in ALERTS.channels.values() if one.variable} <= environment_variables.names()


RULE = (
    'title = "x"\non = ["errors"]\ncount = 1\nwindow_s = 60\nurgency = "info"\nchannels = ["finance_slack"]\n'
)

BAD: dict[str, tuple[str, str]] = {
    "an unknown channel": (
        f"[alerts.rules.mine]\n{RULE.replace('finance_slack', 'finace_slack')}",
        "limits.toml:7: alerts.rules.mine.channels.0: there is no channel 'finace_slack'; did you mean finance_slack?",
    ),
    "an unknown escalation": (
        f'[alerts.rules.mine]\n{RULE}escalation = "finances"\n',
        "limits.toml:8: alerts.rules.mine.escalation: there is no escalation 'finances'; did you mean finance?",
    ),
    "a duplicate title": (
        f"[alerts.rules.mine]\n{RULE.replace('x', 'High error rate')}",
        "limits.toml:2: alerts.rules.mine.title: the rule high_error_rate has this title too; change one of them",
    ),
    "no count": (
        f"[alerts.rules.mine]\n{RULE.replace('count = 1', '')}",
        "limits.toml:1: alerts.rules.mine: a rule on errors needs count; add one, as in count = 3",
    ),
    "no share": (
        f"[alerts.rules.mine]\n{RULE.replace('errors', 'failures').replace('count = 1', '')}",
        "limits.toml:1: alerts.rules.mine: a rule on failures needs above or count; add one, as in above = 0.05",
    ),
    "incompatible streams": (
        f"""[alerts.rules.mine]\n{RULE.replace('["errors"]', '["errors", "volume"]')}""",
        "limits.toml:1: alerts.rules.mine: 'volume' cannot be combined in on; write a separate rule for the rest",
    ),
    "an unknown stream": (
        f"[alerts.rules.mine]\n{RULE.replace('errors', 'eror')}",
        'limits.toml:3: alerts.rules.mine.on.0: "eror" is not one of',
    ),
    "unknown windows": (
        "[alerts.rules.mine]\n"
        + RULE.replace("errors", "burn_rate").replace("count = 1", 'windows = ["fats"]'),
        "limits.toml:4: alerts.rules.mine.windows.0: there is no pair of windows in thresholds.objective 'fats'; did you mean fast?",
    ),
    "a secret in the place of a variable": (
        '[alerts.channels]\nx = { kind = "slack", variable = "https://hooks.slack.com/services/T0/B0/SECRETSECRET" }\n',
        "limits.toml:2: alerts.channels.x.variable: 'https://hooks.slack.' is not the name of an environment variable",
    ),
    "a channel without an address": (
        '[alerts.channels]\nx = { kind = "email" }\n',
        "limits.toml:2: alerts.channels.x: an e-mail channel needs addresses; add to =",
    ),
    "two addresses in one": (
        '[alerts.channels]\nx = { kind = "email", to = ["a@b.example, c@d.example"] }\n',
        "limits.toml:2: alerts.channels.x.to.0: 'a@b.example, c@d.example' is not an e-mail address",
    ),
    "an unknown fallback": (
        '[alerts.channels]\nx = { kind = "slack", variable = "X", instead = "finance_slac" }\n',
        "limits.toml:2: alerts.channels.x.instead: there is no channel 'finance_slac'; did you mean finance_slack?",
    ),
    "a step with an unknown channel": (
        '[alerts.escalations]\nfinance = [{ after_minutes = 5, channels = ["absent"] }]\n',
        "limits.toml:2: alerts.escalations.finance.0.channels.0: there is no channel 'absent'; there are",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_an_invalid_setting_is_reported_with_location_and_fix(
    name: str, write: WriteFile, complaints: Complaints
) -> None:
    text, said = BAD[name]
    [complaint] = complaints(write(text))
    assert complaint.startswith(said)
    assert "SECRETSECRET" not in complaint


def test_an_invalid_rule_does_not_affect_the_others(write: WriteFile) -> None:
    path = write(
        f"[alerts.rules.mine]\n{RULE.replace('finance_slack', 'absent')}[alerts.rules.high_error_rate]\nabove = 0.5\n"
    )
    loaded = salvage_policy(path, env={})
    assert len(loaded.problems) == 1
    assert loaded.policy.alerts.rules["mine"].channels == ()
    assert loaded.policy.alerts.rules["high_error_rate"].above == 0.5


def test_a_custom_rule_and_channel_are_valid(write: WriteFile) -> None:
    path: Path = write(
        """
        [alerts.channels]
        ops = { kind = "webhook", variable = "OPS_URL" }
        [alerts.rules.refunds]
        title = "Refunds fail"
        on = ["errors"]
        operations = ["refund_*"]
        count = 5
        window_s = 600
        urgency = "warning"
        channels = ["ops"]
        """
    )
    assert check_policy(path, env={}).problems == ()
