"""`mita-otel test CHANNEL` sends a marked test message, and reports why one was not accepted."""

from __future__ import annotations

from typing import Any

import pytest

from alerts.receivers import HttpReceiver, MailReceiver, Reply
from mita_otel.alerts.alert import AlertScope
from mita_otel.doctor.self_test import try_channels
from mita_otel.errors import ConfigurationError
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.sdk.health.check import Check, Status

SCOPE = AlertScope("bank", "staging")
KEY = "k" * 32
ACCEPTED = Reply(202, '{"status": "success", "message": "Event processed", "dedup_key": "mita-otel/x"}')


def policy_with(**alerts: Any) -> Policy:
    tree = default_policy().to_dict()
    for name, changes in alerts.items():
        tree["alerts"][name] |= changes
    return convert(Policy, tree)


def tried(
    kind: Any, env: dict[str, str], policy: Policy | None = None, scope: AlertScope = SCOPE, **more: Any
) -> dict[str, Check]:
    found = try_channels(policy or default_policy(), scope, kind, env, **more)
    return {one.name: one for one in found}


def test_slack_receives_a_message_marked_as_a_test(http: HttpReceiver) -> None:
    found = tried("slack", {"SLACK_FINANCE_WEBHOOK": http.url})
    assert (found["finance_slack"].status, found["finance_slack"].said) == (Status.PASS, "Slack answered ok")
    [posted] = http.posted
    assert posted.json["text"].startswith("Test: a test of mita-otel: ")
    context = posted.json["blocks"][-1]["elements"][0]["text"]
    assert context.startswith("bank · staging · ") and "alerts ack" not in context


def test_a_test_message_is_redacted(http: HttpReceiver) -> None:
    tried(
        "slack", {"SLACK_FINANCE_WEBHOOK": http.url}, scope=AlertScope("bank 4111 1111 1111 1111", "staging")
    )
    assert "bank [redacted:pan]" in http.posted[0].json["blocks"][-1]["elements"][0]["text"]


def test_the_fallback_of_an_unconfigured_channel_is_reported(http: HttpReceiver) -> None:
    found = tried("slack", {"SLACK_FINANCE_WEBHOOK": http.url})
    instead = "SLACK_PAYMENTS_WEBHOOK is not set; finance_slack is its fallback"
    assert (found["payments_slack"].status, found["payments_slack"].said) == (Status.WARN, instead)
    unconfigured = "SLACK_SECURITY_WEBHOOK is not set; there is no fallback"
    assert found["security_slack"].said == unconfigured


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (Reply(404, "no_service"), "Slack: answered 404 no_service: the webhook was disabled or removed; create another"),
        (Reply(404, "channel_not_found"), "Slack: answered 404 channel_not_found: the channel was deleted; create a webhook for another"),
        (Reply(403, "action_prohibited"), "Slack: answered 403 action_prohibited: an administrator forbids it"),
        (Reply(400, "invalid_payload"), "Slack: answered 400 invalid_payload"),
        (Reply(429, "", {"Retry-After": "30"}), "Slack: answered 429; retry after 30 seconds"),
        ("cut", "Slack: no connection (RemoteProtocolError)"),
    ],
)  # fmt: skip
def test_an_error_response_of_slack_is_explained(http: HttpReceiver, reply: Reply | str, said: str) -> None:
    http.replies = [reply]
    found = tried("slack", {"SLACK_FINANCE_WEBHOOK": f"{http.url}/services/SECRET"})
    assert (found["finance_slack"].status, found["finance_slack"].said) == (Status.FAIL, said)


def test_an_incident_is_opened_marked_and_resolved(http: HttpReceiver) -> None:
    http.usual = ACCEPTED
    policy = policy_with(delivery={"pagerduty_url": http.url})
    found = tried("pagerduty", {"PAGERDUTY_FINANCE_KEY": KEY}, policy, names=["finance_pagerduty"])
    assert list(found) == ["finance_pagerduty"]
    assert found["finance_pagerduty"].said == "PagerDuty accepted event mita-otel/x, and resolved it"
    opened, resolved = (posted.json for posted in http.posted)
    assert opened["payload"]["summary"].startswith("Test: [staging] a test of mita-otel")
    assert opened["payload"]["severity"] == "info"
    assert "Acknowledge" not in opened["payload"]["custom_details"]
    assert (opened["event_action"], resolved["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == resolved["dedup_key"]


def test_an_incident_stays_open_on_request(http: HttpReceiver) -> None:
    http.usual = ACCEPTED
    policy = policy_with(delivery={"pagerduty_url": http.url})
    tried("pagerduty", {"PAGERDUTY_FINANCE_KEY": KEY}, policy, keep_open=True)
    assert [posted.json["event_action"] for posted in http.posted] == ["trigger"]


def test_the_errors_in_pagerdutys_response_are_reported_without_the_key(http: HttpReceiver) -> None:
    errors = (
        '{"status": "invalid event", "message": "Event object is invalid", "errors": ["Invalid routing key"]}'
    )
    http.usual = Reply(400, errors)
    policy = policy_with(delivery={"pagerduty_url": http.url})
    found = tried("pagerduty", {"PAGERDUTY_FINANCE_KEY": KEY}, policy)["finance_pagerduty"]
    assert found.status is Status.FAIL
    assert found.said == f"PagerDuty: answered 400 {errors}"
    assert KEY not in found.said


def mail_policy() -> Policy:
    return policy_with(
        email={"sender": "alerts@bank.example", "starttls": "off"},
        channels={"finance_email": {"kind": "email", "to": ["team@bank.example"]}},
    )


def test_an_email_is_marked_as_a_test() -> None:
    receiver = MailReceiver()
    found = tried("email", {"MITA_OTEL_SMTP_URL": receiver.url}, mail_policy())
    receiver.close()
    [message] = receiver.messages
    assert found["finance_email"].said == f"the mail server accepted {message['Message-ID']}"
    assert message["Subject"] == "Test: [staging] a test of mita-otel"
    assert "Acknowledge" not in message.get_content()
    assert "security@mita.finance is a placeholder" in found["security_email"].said


def test_the_refusal_of_a_mail_server_is_reported_with_the_recipient() -> None:
    receiver = MailReceiver(recipient_answer="550 5.1.1 unknown user")
    found = tried("email", {"MITA_OTEL_SMTP_URL": receiver.url}, mail_policy())["finance_email"]
    receiver.close()
    assert found.status is Status.FAIL
    assert "refuses team@bank.example" in found.said and "550 5.1.1 unknown user" in found.said


def test_a_webhook_receives_json_marked_as_a_test(http: HttpReceiver) -> None:
    policy = policy_with(channels={"ours": {"kind": "webhook", "variable": "OUR_HOOK"}})
    found = tried("webhook", {"OUR_HOOK": http.url}, policy)
    assert found["ours"].said == "it answered 200"
    assert http.posted[0].json["test"] is True


def test_an_invalid_setting_fails_with_the_name_of_its_variable() -> None:
    found = tried("email", {"MITA_OTEL_SMTP_URL": "mail.bank.example"}, mail_policy())["finance_email"]
    assert found.status is Status.FAIL
    assert found.said.startswith("MITA_OTEL_SMTP_URL ")


def test_an_unknown_channel_is_an_error_that_lists_the_known_channels() -> None:
    with pytest.raises(ConfigurationError, match="no slack channel nowhere; use one of: finance_slack"):
        tried("slack", {}, names=["nowhere"])
