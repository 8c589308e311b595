"""Slack, PagerDuty, e-mail, webhooks: sent messages, and the result of each documented response."""

from __future__ import annotations

import hashlib
import hmac
import json
import ssl
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from alerts.receivers import HttpReceiver, MailReceiver, Reply
from mita_otel.alerts.channels.apprise import AppriseNotifier
from mita_otel.alerts.channels.http_post import retry_after_s
from mita_otel.alerts.channels.mail import MailNotifier, MailServer, mail
from mita_otel.alerts.channels.notifier import RefusedError, TryLaterError
from mita_otel.alerts.channels.pagerduty import PagerDutyNotifier, event
from mita_otel.alerts.channels.slack import SlackNotifier, payload
from mita_otel.alerts.channels.webhook import SIGNATURE, WebhookNotifier, document
from mita_otel.alerts.notification import Notification, redacted
from mita_otel.errors import ConfigurationError
from mita_otel.policy import default_policy
from mita_otel.policy.channels import EmailPolicy
from mita_otel.redaction import Redactor

KEY = "0123456789abcdef0123456789ABCDEF"
PAN = "4111 1111 1111 1111"


def notification(**changes: Any) -> Notification:
    known: dict[str, Any] = {
        "action": "trigger", "alert_id": "a1b2c3d4e5f60718", "rule": "payment_processing_failures", "subject": "",
        "title": "Payment processing failures", "reason": "3 events within 5 minutes", "urgency": "error",
        "service": "bank", "environment": "production", "at_ns": 1_767_225_600_123_000_000,
        "notified_ns": 1_767_229_200_000_000_000,
        "acknowledge_command": "mita-otel alerts ack a1b2c3d4e5f60718 -s bank -e production",
        "facts": (("Last", "GatewayTimeout: no answer"), ("Trace", "4bf92f3577b34da6a3ce929d0e0e4736")),
    }  # fmt: skip
    return Notification(**{**known, **changes})


@pytest.fixture
def receiver() -> Iterator[HttpReceiver]:
    receiver = HttpReceiver()
    yield receiver
    receiver.close()


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    with httpx.Client(timeout=60) as client:
        yield client


# --- Slack -------------------------------------------------------------------------------------------
def test_slack_gets_a_text_and_blocks(receiver: HttpReceiver, client: httpx.Client) -> None:
    assert SlackNotifier(f"{receiver.url}/services/T/B/X", client).send(notification()) == "ok"
    [posted] = receiver.posted
    assert posted.path == "/services/T/B/X"
    assert posted.headers["Content-Type"] == "application/json"
    assert posted.json["text"] == "Payment processing failures: 3 events within 5 minutes"
    kinds = [block["type"] for block in posted.json["blocks"]]
    assert kinds == ["header", "section", "section", "context"]
    assert posted.json["blocks"][2]["fields"][0]["text"] == "*Last*\nGatewayTimeout: no answer"
    assert "mita-otel alerts ack a1b2c3d4e5f60718" in posted.json["blocks"][3]["elements"][0]["text"]


def test_slack_text_is_escaped_against_links_and_mentions() -> None:
    shown = json.dumps(
        payload(notification(reason="<!channel> & <https://evil.example|ok>", facts=(("Last", "<@U1>"),)))
    )
    assert "<" not in shown.replace("&lt;", "") and "&amp;" in shown


def test_a_slack_message_stays_within_slacks_lengths() -> None:
    facts = tuple((f"Fact {n}", "x" * 5000) for n in range(40))
    shown = payload(notification(title="t" * 900, reason="r" * 9000, facts=facts))
    assert len(shown["blocks"]) <= 50
    for block in shown["blocks"]:
        if block["type"] == "header":
            assert len(block["text"]["text"]) <= 150
        elif "fields" in block:
            assert len(block["fields"]) <= 10 and all(len(one["text"]) <= 2000 for one in block["fields"])
        elif block["type"] == "section":
            assert len(block["text"]["text"]) <= 3000


@pytest.mark.parametrize(
    ("status", "word"),
    [
        (400, "invalid_payload"), (400, "invalid_blocks"), (403, "action_prohibited"), (404, "channel_not_found"),
        (404, "no_service"), (410, "channel_is_archived"), (403, "invalid_token"),
    ],
)  # fmt: skip
def test_an_error_of_slack_is_a_refusal(
    receiver: HttpReceiver, client: httpx.Client, status: int, word: str
) -> None:
    receiver.replies = [Reply(status, word)]
    with pytest.raises(RefusedError, match=f"Slack: answered {status} {word}"):
        SlackNotifier(receiver.url, client).send(notification())


def test_a_response_that_is_not_slacks_is_a_refusal(receiver: HttpReceiver, client: httpx.Client) -> None:
    receiver.replies = [Reply(200, "<html>welcome</html>")]
    with pytest.raises(RefusedError, match="check that the URL is an incoming webhook's"):
        SlackNotifier(receiver.url, client).send(notification())


@pytest.mark.parametrize(
    ("reply", "after_s"),
    [(Reply(429, "rate_limited", {"Retry-After": "30"}), 30), (Reply(500, "rollup_error"), None), (Reply(503, ""), None)],
)  # fmt: skip
def test_a_busy_slack_is_retried_later(
    receiver: HttpReceiver, client: httpx.Client, reply: Reply, after_s: float | None
) -> None:
    receiver.replies = [reply]
    with pytest.raises(TryLaterError) as raised:
        SlackNotifier(receiver.url, client).send(notification())
    assert raised.value.after_s == after_s


@pytest.mark.parametrize("trouble", ["cut", "hang"])
def test_a_missing_response_is_retried_later_without_naming_the_url(
    receiver: HttpReceiver, trouble: str
) -> None:
    receiver.replies = [trouble]
    with httpx.Client(timeout=0.3) as client, pytest.raises(TryLaterError) as raised:
        SlackNotifier(f"{receiver.url}/services/SECRET", client).send(notification())
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize("url", ["hooks.slack.com/services/X", "ftp://x/y", "https://", "http://h:p/"])
def test_an_invalid_url_is_refused(client: httpx.Client, url: str) -> None:
    for kind in (SlackNotifier, WebhookNotifier):
        with pytest.raises(ConfigurationError, match="the URL is not valid") as raised:
            kind(url, client)
        assert url not in str(raised.value).replace("https://HOST", "")


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.slack.com/services/T000/B000",
        "https://hooks.slack.com/services/T000/B000/",
        "https://hooks.slack.com/",
        "http://hooks.slack.com/services/T000/B000/SECRET",
        "https://hooks.slack.com/services/...",
    ],
)
def test_an_incomplete_webhook_url_of_slack_is_refused(client: httpx.Client, url: str) -> None:
    with pytest.raises(
        ConfigurationError, match="not that of an incoming webhook; copy it completely"
    ) as raised:
        SlackNotifier(url, client)
    assert "SECRET" not in str(raised.value)


@pytest.mark.parametrize(
    "path", ["services/T000/B000/abcDEF0", "workflows/T000/A000/1/x", "triggers/T000/1/x"]
)
def test_every_kind_of_slack_webhook_url_is_accepted(client: httpx.Client, path: str) -> None:
    SlackNotifier(f"https://hooks.slack.com/{path}", client)


# --- PagerDuty ---------------------------------------------------------------------------------------
ACCEPTED = Reply(
    202, '{"status": "success", "message": "Event processed", "dedup_key": "mita-otel/a1b2c3d4e5f60718"}'
)


def test_pagerduty_receives_an_incident_that_can_be_resolved(
    receiver: HttpReceiver, client: httpx.Client
) -> None:
    receiver.usual = ACCEPTED
    notifier = PagerDutyNotifier(KEY, f"{receiver.url}/v2/enqueue", client)
    for action in ("trigger", "escalate", "acknowledge", "resolve"):
        assert notifier.send(notification(action=action)) == "mita-otel/a1b2c3d4e5f60718"
    sent = [posted.json for posted in receiver.posted]
    assert [one["event_action"] for one in sent] == ["trigger", "trigger", "acknowledge", "resolve"]
    assert {one["dedup_key"] for one in sent} == {"mita-otel/a1b2c3d4e5f60718"}
    assert {one["routing_key"] for one in sent} == {KEY}
    first = sent[0]["payload"]
    assert first["summary"] == "[production] Payment processing failures: 3 events within 5 minutes"
    assert first["severity"] == "error" and first["source"] == "bank"
    assert datetime.fromisoformat(first["timestamp"]) == datetime(2026, 1, 1, 0, 0, 0, 123000, UTC)
    assert "payload" not in sent[3]


def test_a_pagerduty_event_stays_within_its_lengths() -> None:
    shown = event(notification(title="t" * 1000, reason="r" * 1000))
    assert len(shown["payload"]["summary"]) == 1024
    assert len(shown["dedup_key"]) <= 255


@pytest.mark.parametrize(
    ("key", "found"),
    [("k" * 31, "it has 31"), ("k" * 33, "it has 33"), (f"{'k' * 31}-", "it has other characters")],
)
def test_an_invalid_key_is_refused_before_a_request(client: httpx.Client, key: str, found: str) -> None:
    with pytest.raises(ConfigurationError, match=f"not an integration key of 32 .*, {found}; copy") as raised:
        PagerDutyNotifier(key, "http://127.0.0.1:1", client)
    assert key not in str(raised.value)


def test_a_rejected_event_is_refused_with_pagerdutys_reasons(
    receiver: HttpReceiver, client: httpx.Client
) -> None:
    said = '{"status": "invalid event", "message": "Event object is invalid", "errors": ["Length of \'routing_key\' is incorrect"]}'
    receiver.replies = [Reply(400, said)]
    with pytest.raises(RefusedError, match=r"PagerDuty: answered 400 .*Length of 'routing_key' is incorrect"):
        PagerDutyNotifier(KEY, receiver.url, client).send(notification())


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_pagerduty_is_retried_later(receiver: HttpReceiver, client: httpx.Client, status: int) -> None:
    receiver.replies = [Reply(status, "")]
    with pytest.raises(TryLaterError, match=f"PagerDuty: answered {status}"):
        PagerDutyNotifier(KEY, receiver.url, client).send(notification())


def test_a_response_that_is_not_pagerdutys_is_a_refusal(receiver: HttpReceiver, client: httpx.Client) -> None:
    with pytest.raises(RefusedError, match="answered 200, not 202"):
        PagerDutyNotifier(KEY, receiver.url, client).send(notification())


# --- webhooks ----------------------------------------------------------------------------------------
def test_a_webhook_receives_signed_json(receiver: HttpReceiver, client: httpx.Client) -> None:
    assert WebhookNotifier(receiver.url, client, "key of mine").send(notification()) == "200"
    [posted] = receiver.posted
    assert posted.json["alert"]["reason"] == "3 events within 5 minutes"
    assert posted.json["action"] == "trigger"
    digest = hmac.new(b"key of mine", posted.body, hashlib.sha256).hexdigest()
    assert posted.headers[SIGNATURE] == f"sha256={digest}"
    assert posted.headers["Idempotency-Key"].startswith("mita-otel/a1b2c3d4e5f60718/trigger/")


def test_a_redirect_is_not_followed(receiver: HttpReceiver, client: httpx.Client) -> None:
    receiver.replies = [Reply(302, "", {"Location": "http://127.0.0.1:1/"})]
    with pytest.raises(RefusedError, match="webhook: answered 302"):
        WebhookNotifier(receiver.url, client).send(notification())


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("120", 120.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Thu, 01 Jan 2026 00:01:00 GMT", 60.0),
        ("soon", None),
        ("", None),
    ],
)
def test_retry_after_is_a_number_or_a_date(value: str, seconds: float | None) -> None:
    assert retry_after_s({"Retry-After": value}, datetime(2026, 1, 1, tzinfo=UTC)) == seconds


# --- e-mail ------------------------------------------------------------------------------------------
PLAIN = EmailPolicy(sender="alerts@bank.example", starttls="off", placeholder_domain="mita.finance")


def send_mail(
    receiver: MailReceiver, url: str | None = None, policy: EmailPolicy = PLAIN, **more: Any
) -> str:
    server = MailServer.from_url(url or receiver.url)
    notifier = MailNotifier(server, policy, ("team@bank.example", "lead@bank.example"), timeout_s=5, **more)
    return notifier.send(notification())


def test_a_mail_contains_the_facts_and_all_recipients() -> None:
    receiver = MailReceiver()
    message_id = send_mail(receiver)
    receiver.close()
    [message] = receiver.messages
    assert message["Subject"] == "[production] Payment processing failures"
    assert message["To"] == "team@bank.example, lead@bank.example"
    assert message["Message-ID"] == message_id
    text = message.get_content()
    assert "Why: 3 events within 5 minutes" in text
    assert "Last: GatewayTimeout: no answer" in text
    assert "Acknowledge: mita-otel alerts ack a1b2c3d4e5f60718" in text


def test_all_mails_about_an_alert_form_one_thread() -> None:
    to = ("a@b.example",)
    first, last = (mail(notification(action=action), "s@b.example", to) for action in ("trigger", "resolve"))
    assert last["In-Reply-To"] == last["References"] == first["Message-ID"]
    assert first["Message-ID"] != last["Message-ID"]


def test_the_date_of_a_mail_is_its_creation() -> None:
    message = mail(notification(action="resolve"), "s@b.example", ("a@b.example",))
    assert message["Date"].datetime == datetime(2026, 1, 1, 1, 0, 0, tzinfo=UTC)
    assert "Since: 2026-01-01 00:00:00 UTC" in message.get_content()


def test_escalations_have_separate_ids_and_a_retry_keeps_its_id(
    receiver: HttpReceiver, client: httpx.Client
) -> None:
    """Mailboxes and receivers of webhooks show one of two with the same id."""
    hour_ns = 3_600_000_000_000
    first = notification(action="escalate")
    second = replace(first, notified_ns=first.notified_ns + hour_ns)
    ids = [mail(one, "s@b.example", ("a@b.example",))["Message-ID"] for one in (first, first, second)]
    webhook = WebhookNotifier(receiver.url, client)
    for one in (first, first, second):
        webhook.send(one)
    keys = [posted.headers["Idempotency-Key"] for posted in receiver.posted]
    for found in (ids, keys):
        assert found[0] == found[1] != found[2]


def test_a_failing_quit_does_not_send_the_mail_twice() -> None:
    receiver = MailReceiver(quit_answer="421 4.3.2 busy")
    assert send_mail(receiver)
    receiver.close()
    assert len(receiver.messages) == 1


def test_a_line_break_cannot_add_a_mail_header() -> None:
    dirty = notification(title="a\r\nBcc: all@evil.example", environment="x\nTo: y")
    message = mail(redacted(dirty, Redactor(default_policy().redaction)), "s@b.example", ("a@b.example",))
    assert "Bcc" not in message.as_string().split("\n\n")[0].replace("a Bcc:", "")
    assert message["Bcc"] is None and message["To"] == "a@b.example"


@pytest.mark.parametrize(
    ("answer", "error"), [("554 5.7.1 rejected", RefusedError), ("451 4.3.0 later", TryLaterError)]
)
def test_a_mail_server_accepts_delays_or_refuses_a_message(answer: str, error: type[Exception]) -> None:
    receiver = MailReceiver(answer=answer)
    with pytest.raises(error, match=answer):
        send_mail(receiver)
    receiver.close()


@pytest.mark.parametrize(
    ("answer", "error"), [("550 5.1.1 unknown user", RefusedError), ("450 4.2.1 try again", TryLaterError)]
)
def test_a_mail_server_accepts_delays_or_refuses_a_recipient(answer: str, error: type[Exception]) -> None:
    receiver = MailReceiver(recipient_answer=answer)
    with pytest.raises(error, match=rf"refuses team@bank.example, .*{answer}"):
        send_mail(receiver)
    receiver.close()


def test_an_unreachable_mail_server_is_retried_later() -> None:
    receiver = MailReceiver()
    receiver.close()
    with pytest.raises(TryLaterError, match="Connection"):
        send_mail(receiver)


def test_nothing_is_sent_unencrypted_if_starttls_is_required() -> None:
    receiver = MailReceiver()
    with pytest.raises(RefusedError, match=r"STARTTLS .* see alerts\.email\.starttls"):
        send_mail(receiver, policy=PLAIN.replace(starttls="required"))
    receiver.close()
    assert receiver.messages == []


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself."""
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "certificate.pem", folder / "key.pem"
    done = subprocess.run(
        [
            *(
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "rsa:2048",
                "-nodes",
                "-days",
                "1",
                "-subj",
                "/CN=127.0.0.1",
            ),
            *("-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)),
        ],
        capture_output=True,
        check=False,
    )
    if done.returncode:
        pytest.skip("openssl is not installed")
    return certificate, key


def test_credentials_are_sent_over_an_encrypted_connection(certificate: tuple[Path, Path]) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    receiver = MailReceiver(user="ann", password="p@ss", tls=context)
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    policy = PLAIN.replace(starttls="required")
    send_mail(receiver, f"smtp://ann:p%40ss@127.0.0.1:{receiver.port}", policy, context=trusting)
    assert receiver.encrypted == [True]
    with pytest.raises(RefusedError, match="the server rejects user or password") as raised:
        send_mail(receiver, f"smtp://ann:wrong-one@127.0.0.1:{receiver.port}", policy, context=trusting)
    assert "wrong-one" not in str(raised.value)
    with pytest.raises(RefusedError, match="no encrypted connection: CERTIFICATE_VERIFY_FAILED"):
        send_mail(receiver, policy=policy)
    receiver.close()


@pytest.mark.parametrize(
    "url", ["mail.example", "http://mail.example", "smtp://", "smtp://host:port", "smtp://h:99999"]
)
def test_an_invalid_mail_server_url_is_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MITA_OTEL_SMTP_URL is not the URL of a mail server"):
        MailServer.from_url(url)


def test_default_ports_depend_on_the_scheme() -> None:
    assert MailServer.from_url("smtp://h").port == 587
    assert MailServer.from_url("smtps://h") == MailServer("h", 465, "", "", True)


# --- apprise -----------------------------------------------------------------------------------------
apprise_warns = pytest.mark.filterwarnings("ignore:.*:DeprecationWarning")
"""Apprise imports modules of Python's that are on their way out."""


@apprise_warns
def test_apprise_sends_to_its_services(receiver: HttpReceiver) -> None:
    url = receiver.url.replace("http://", "json://")
    assert AppriseNotifier(url).send(notification()) == "sent"
    assert receiver.posted[0].json["title"] == "[production] Payment processing failures"
    receiver.replies = [Reply(500, "")]
    with pytest.raises(TryLaterError, match="apprise: the notification was not sent"):
        AppriseNotifier(url).send(notification())


@apprise_warns
def test_an_unsupported_apprise_url_is_refused_without_naming_it() -> None:
    with pytest.raises(ConfigurationError, match="apprise does not support the URL") as raised:
        AppriseNotifier("nothing://SECRET")
    assert "SECRET" not in str(raised.value)


# --- redaction ---------------------------------------------------------------------------------------
def test_no_channel_sends_a_secret() -> None:
    dirty = notification(
        title=f"Errors: {PAN}",
        reason=f"card {PAN}",
        subject=PAN,
        facts=(("Last", f"Declined: {PAN}"), ("Card number", "12")),
    )
    clean = redacted(dirty, Redactor(default_policy().redaction))
    for shown in (
        payload(clean),
        event(clean),
        mail(clean, "s@b.example", ("a@b.example",)).as_string(),
        clean.as_dict(),
        document(clean),
    ):
        assert PAN not in str(shown)
        assert "[redacted" in str(shown)
    assert dict(clean.facts)["Card number"].startswith("[redacted")
    assert redacted(clean, Redactor(default_policy().redaction)) == clean


def test_ids_survive_redaction() -> None:
    clean = redacted(notification(), Redactor(default_policy().redaction))
    assert clean == notification()
