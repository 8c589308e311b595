"""Invalid addresses and keys of alert channels are found before the first alert."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from doctor.kit import by_name, failing, policy_with
from mita_otel.doctor.channels import channel_checks
from mita_otel.policy import Policy
from mita_otel.sdk.health.check import Check, Status

KEY = "0123456789abcdef0123456789ABCDEF"
HOOK = "https://hooks.slack.com/services/T000/B000/XXXXhunter2XXXX"


def channels(
    policy: Policy | None = None, env: Mapping[str, str] | None = None, **more: str
) -> dict[str, Check]:
    return by_name(channel_checks(policy or policy_with(), {**(env or {}), **more}))


def test_valid_channels_are_listed() -> None:
    found = channels(
        SLACK_FINANCE_WEBHOOK=HOOK, PAGERDUTY_FINANCE_KEY=KEY, MITA_OTEL_SMTP_URL="smtp://mail.bank.example"
    )
    said = "finance_slack, finance_pagerduty; send a test with: mita-otel test"
    assert found == {"alerts": Check("alerts", Status.PASS, said)}


@pytest.mark.parametrize(
    ("variable", "value", "name", "said"),
    [
        ("SLACK_FINANCE_WEBHOOK", "hooks.slack.com/services/T/B/hunter2", "alerts:finance_slack",
         "SLACK_FINANCE_WEBHOOK: Slack: the URL is not valid; copy it completely"),
        ("SLACK_FINANCE_WEBHOOK", HOOK.rpartition("/")[0], "alerts:finance_slack",
         "SLACK_FINANCE_WEBHOOK: Slack: the URL is not that of an incoming webhook; copy it completely"),
        ("PAGERDUTY_SECURITY_KEY", KEY[:-1], "alerts:security_pagerduty",
         "PAGERDUTY_SECURITY_KEY: PagerDuty: the key is not an integration key of 32 letters and digits, it has 31; copy"),
        ("PAGERDUTY_SECURITY_KEY", f"{KEY}0", "alerts:security_pagerduty",
         "PAGERDUTY_SECURITY_KEY: PagerDuty: the key is not an integration key of 32 letters and digits, it has 33; copy"),
        ("MITA_OTEL_SMTP_URL", "mail.bank.example", "alerts:mail-server",
         "MITA_OTEL_SMTP_URL is not the URL of a mail server; write it like smtp://user:password@host:587"),
        ("MITA_OTEL_SMTP_URL", "smtp://ann:hunter2@mail:port", "alerts:mail-server",
         "MITA_OTEL_SMTP_URL is not the URL of a mail server; write it like smtp://user:password@host:587"),
    ],
)  # fmt: skip
def test_an_invalid_address_or_key_fails(variable: str, value: str, name: str, said: str) -> None:
    found = channels(env={variable: value})
    assert list(failing(found)) == [name]
    assert found[name].said.startswith(said)
    assert "hunter2" not in found[name].said and value not in found[name].said.replace(
        "user:password@host:587", ""
    )


def test_an_invalid_mail_server_fails_once_for_all_addresses() -> None:
    policy = policy_with()
    email = policy.alerts.email.replace(placeholder_domain="none.example")
    alerts = policy.alerts.replace(email=email)
    found = channels(policy.replace(alerts=alerts), MITA_OTEL_SMTP_URL="mail", SLACK_FINANCE_WEBHOOK=HOOK)
    assert list(failing(found)) == ["alerts:mail-server"]


def test_valid_channels_are_listed_beside_an_invalid_one() -> None:
    found = channels(SLACK_FINANCE_WEBHOOK=HOOK, PAGERDUTY_FINANCE_KEY="short")
    assert list(failing(found)) == ["alerts:finance_pagerduty"]
    assert found["alerts"].said.startswith("finance_slack; ")


def test_no_configured_channel_is_a_warning() -> None:
    found = channels()["alerts"]
    assert found.status is Status.WARN
    assert found.said.startswith(
        "no alert channel is configured, so alerts are not delivered; set SLACK_FINANCE_WEBHOOK"
    )


def test_disabled_alerts_pass() -> None:
    policy = policy_with()
    off = policy.replace(alerts=policy.alerts.replace(start="off"))
    assert channels(off, PAGERDUTY_FINANCE_KEY="short") == {
        "alerts": Check("alerts", Status.PASS, "alerts are off (alerts.start)")
    }
