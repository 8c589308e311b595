"""No message of `doctor` contains a secret, whatever its source."""

from __future__ import annotations

from pathlib import Path

import pytest

from doctor.kit import Examined, policy_with
from mita_otel.doctor.diagnosis import SecretFilter
from mita_otel.policy.mobile import MobileProject
from mita_otel.sdk.health.check import Check, Status

SECRET = "hunter2hunter2"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SENTRY_DSN", f"https://{SECRET}@o1.ingest.sentry.io/1"),
        ("SENTRY_AUTH_TOKEN", SECRET),
        ("SLACK_FINANCE_WEBHOOK", f"https://hooks.slack.com/services/T/B/{SECRET}"),
        ("PAGERDUTY_FINANCE_KEY", SECRET),
        ("MITA_OTEL_SMTP_URL", f"smtp://ann:{SECRET}@mail.bank.example"),
        ("MITA_OTEL_DATABASE_URL", f"postgresql://mita:{SECRET}@db.bank.example/bank"),
        ("MITA_OTEL_AUDIT_KEY", SECRET),
        ("MITA_OTEL_AUDIT_OLD_KEYS", f"another, {SECRET}"),
        ("MITA_OTEL_HMAC_KEY", SECRET),
        ("MITA_OTEL_HEALTH_TOKEN", SECRET),
        ("OTEL_EXPORTER_OTLP_HEADERS", f"x-tenant=bank,authorization={SECRET}"),
        ("HTTPS_PROXY", f"http://ann:{SECRET}@proxy.bank.example:3128"),
        ("MITA_OTEL_DATABASE_URL", "postgresql://mita:hunter2%21hunter2@db.bank.example/bank"),
    ],
)
def test_secrets_of_the_environment_are_redacted(name: str, value: str) -> None:
    filtered = SecretFilter(policy_with(), {name: value})
    secret = "hunter2!hunter2" if "%21" in value else SECRET
    shown = filtered.check(Check("sentry", Status.FAIL, f"{name}: {secret} is wrong ({value})"))
    assert "hunter2" not in shown.said
    assert shown.said.startswith(f"{name}: [redacted] is wrong")


def test_the_path_of_a_webhook_is_redacted_and_its_host_is_shown() -> None:
    filtered = SecretFilter(
        policy_with(), {"SLACK_FINANCE_WEBHOOK": f"https://hooks.slack.com/services/T/B/{SECRET}"}
    )
    assert filtered.text(f"POST /services/T/B/{SECRET} failed at hooks.slack.com") == (
        "POST [redacted] failed at hooks.slack.com"
    )


def test_the_key_of_an_apps_upstream_is_redacted() -> None:
    policy = policy_with()
    app = MobileProject(id="1", keys=("abcdef123456",), upstream="https://abcdef123456@o1.ingest.sentry.io/1")
    mobile = policy.mobile.replace(projects={"app": app})
    filtered = SecretFilter(policy.replace(mobile=mobile), {})
    assert filtered.text("key abcdef123456 of o1.ingest.sentry.io") == "key [redacted] of o1.ingest.sentry.io"


def test_hosts_users_and_paths_are_shown() -> None:
    env = {
        "MITA_OTEL_DATABASE_URL": "postgresql://mita:pw@db.bank.example/bank",
        "SENTRY_DSN": f"https://{SECRET}@o1.ingest.sentry.io/1",
        "MITA_OTEL_AUDIT_SPOOL": "/var/spool/mita",
        "KEY": "",
    }
    text = "mita may not write to db.bank.example, o1.ingest.sentry.io, /var/spool/mita"
    assert SecretFilter(policy_with(), env).text(text) == text


def test_a_secret_in_an_exception_message_is_redacted(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mita_otel.doctor import diagnosis

    def broken(*_: object) -> Check:
        raise RuntimeError(f"cannot use {SECRET}")

    monkeypatch.setattr(diagnosis, "spool_check", broken)
    found = examined(MITA_OTEL_AUDIT_KEY=SECRET)
    assert (
        found["audit"].said
        == "the check itself failed (RuntimeError: cannot use [redacted]); please report it"
    )


def test_the_report_of_an_environment_with_many_faults_contains_no_secret(
    examined: Examined, tmp_path: Path
) -> None:
    (tmp_path / "mita-otel.toml").write_text(
        f'[mobile.projects.app]\nid = "1"\nkeys = ["abcdef123456"]\nupstream = "http://{SECRET}@127.0.0.1:1/1"\n'
    )
    found = examined(
        SENTRY_DSN=f"http://{SECRET}@127.0.0.1:1/1",
        SLACK_FINANCE_WEBHOOK=f"https://hooks.slack.com/{SECRET}",
        PAGERDUTY_FINANCE_KEY=SECRET,
        MITA_OTEL_SMTP_URL=f"ann:{SECRET}@mail",
        MITA_OTEL_DATABASE_URL=f"postgresql://mita:{SECRET}@127.0.0.1:1/bank",
        MITA_OTEL_AUDIT_KEY=SECRET,
        OTEL_TRACES_EXPORTER="otlp,sentry",
        OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:1",
        OTEL_EXPORTER_OTLP_HEADERS=f"authorization={SECRET}",
        MITA_OTEL_DOCTOR__TIMEOUT_S="5",
    )
    faults = {name for name, one in found.items() if one.status is Status.FAIL}
    assert {"sentry", "alerts:finance_slack", "alerts:finance_pagerduty", "alerts:mail-server", "store", "audit",
            "exporter:otlp", "mobile:app"} <= faults  # fmt: skip
    assert SECRET not in repr(found) and "abcdef123456" not in repr(found)
