"""`mita-otel test sentry` sends a marked error with a trace, and reports why Sentry did not accept it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from alerts.receivers import HttpReceiver, Reply
from e2e.receiver import Receiver
from mita_otel.doctor.self_test import try_sentry
from mita_otel.errors import ConfigurationError
from mita_otel.policy import default_policy
from mita_otel.sdk.health.check import Status


@pytest.fixture(autouse=True)
def _alone(isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


def test_a_marked_error_and_its_trace_arrive_and_their_ids_are_reported(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    check = try_sentry(default_policy(), "staging")
    assert check.status is Status.PASS
    [event], [transaction] = receiver.events, receiver.transactions
    assert event["event_id"] == check.observed["event_id"]
    assert event["tags"]["mita.test"] == "true"
    assert event["environment"] == transaction["environment"] == "staging"
    assert event["exception"]["values"][0]["type"] == "SelfTestError"
    assert transaction["contexts"]["trace"]["trace_id"] == check.observed["trace_id"]
    assert event["contexts"]["trace"]["trace_id"] == check.observed["trace_id"]
    assert check.said.startswith(f"Sentry accepted event {event['event_id']} of trace ")


def test_the_test_error_causes_no_alert_and_no_audit_entry(
    receiver: Receiver, http: HttpReceiver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    monkeypatch.setenv("SLACK_FINANCE_WEBHOOK", http.url)
    policy = default_policy()
    rule = policy.alerts.rules["critical_financial_errors"].replace(severities=())
    alerts = policy.alerts.replace(rules={"all": rule})
    assert try_sentry(policy.replace(alerts=alerts)).status is Status.PASS
    assert http.posted == []
    assert list(tmp_path.iterdir()) == []


def test_exporters_of_metrics_and_logs_are_not_started(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """They would send data, and the running service already uses the port of Prometheus."""
    with socket.create_server(("127.0.0.1", 0)) as service:
        monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
        monkeypatch.setenv("OTEL_METRICS_EXPORTER", "prometheus")
        monkeypatch.setenv("OTEL_LOGS_EXPORTER", "absent")
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_HOST", "127.0.0.1")
        monkeypatch.setenv("OTEL_EXPORTER_PROMETHEUS_PORT", str(service.getsockname()[1]))
        assert try_sentry(default_policy()).status is Status.PASS
    assert caplog.text == ""


def test_an_invalid_opentelemetry_variable_is_logged_and_the_test_continues(
    receiver: Receiver, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    monkeypatch.setenv("OTEL_SPAN_EVENT_COUNT_LIMIT", "abc")
    assert try_sentry(default_policy()).status is Status.PASS
    assert [record.getMessage()[:34] for record in caplog.records] == ["OTEL_SPAN_EVENT_COUNT_LIMIT: 'abc'"]


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (
            Reply(403, '{"detail": "event submission rejected with_reason: ProjectId", "causes": []}'),
            "Sentry answered 403 (event submission rejected with_reason: ProjectId)",
        ),
        (Reply(400, '{"detail": "bad sentry DSN public key", "causes": ["a", "b"]}'), "Sentry answered 400 (bad sentry DSN public key; a; b)"),
        (Reply(404, "<html>not here</html>"), "Sentry answered 404"),
        (Reply(429, "", {"Retry-After": "60"}), "Sentry answered 429"),
        (Reply(503, "[1]"), "Sentry answered 503"),
        ("cut", "no connection to 127.0.0.1:PORT (closed without a response)"),
    ],
)  # fmt: skip
def test_an_error_response_of_sentry_is_explained(
    http: HttpReceiver, monkeypatch: pytest.MonkeyPatch, reply: Reply | str, said: str
) -> None:
    http.replies = [reply] * 9
    monkeypatch.setenv("SENTRY_DSN", f"{http.url.replace('://', '://publickey@')}/1")
    check = try_sentry(default_policy())
    assert (check.status, check.said) == (
        Status.FAIL,
        f"127.0.0.1: {said.replace('PORT', http.url.rpartition(':')[2])}",
    )


def test_a_refused_error_fails_the_test_although_its_trace_arrives(
    http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.replies = [Reply(413, "")]
    monkeypatch.setenv("SENTRY_DSN", f"{http.url.replace('://', '://publickey@')}/1")
    check = try_sentry(default_policy())
    assert check.status is Status.FAIL
    assert check.said.startswith(("127.0.0.1: lost: sentry", "127.0.0.1: Sentry answered 413"))


def test_the_wait_for_a_hanging_sentry_is_bounded(
    http: HttpReceiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    http.replies = ["hang", "hang", "hang", "hang"]
    monkeypatch.setenv("SENTRY_DSN", f"{http.url.replace('://', '://publickey@')}/1")
    policy = default_policy()
    quick = policy.replace(sentry=policy.sentry.replace(send_timeout_s=0.3))
    check = try_sentry(quick)
    assert check.status is Status.FAIL
    assert "answer in time" in check.said or "(timed out)" in check.said


@pytest.mark.parametrize(
    ("dsn", "said"), [("", "SENTRY_DSN is not set"), ("https://sentry.io/1", "SENTRY_DSN is not a valid DSN")]
)
def test_a_missing_or_invalid_dsn_is_an_error(monkeypatch: pytest.MonkeyPatch, dsn: str, said: str) -> None:
    monkeypatch.setenv("SENTRY_DSN", dsn)
    with pytest.raises(ConfigurationError, match=said):
        try_sentry(default_policy())


def test_disabled_telemetry_is_reported_with_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert try_sentry(default_policy()).said == "telemetry is off: unset OTEL_SDK_DISABLED"
