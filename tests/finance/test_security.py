"""Security events and attacks."""

from __future__ import annotations

import threading

import pytest

from finance.conftest import Record, policy_with
from finance.recording import Clock, Recording
from mita_otel import (
    FinancialSeverity,
    UserContext,
    capture_financial_error,
    monitor_financial_operation,
    set_financial_user,
    set_security_context,
)
from mita_otel.finance.brute_force import FailureCounter

POLICY = policy_with().security.brute_force


def test_an_event_is_a_log_record_and_an_issue_from_high_severity(recording: Recording) -> None:
    event_id = set_security_context(
        "unusual_location", "high", {"ip_address": "192.0.2.1", "user_agent": "curl"}, user_id="u-1"
    )
    assert set_security_context("new_device", FinancialSeverity.LOW) == ""
    first, second = recording.events("mita.security")
    assert first["mita.event.id"] == event_id
    assert first["mita.security.event_type"] == "unusual_location"
    assert first["mita.error.category"] == "security_violation"
    assert first["mita.severity"] == "high"
    assert first["user.id"] == "u-1"
    assert first["mita.contexts"]["security"] == {
        "event_type": "unusual_location",
        "severity": "high",
        "ip_address": "192.0.2.1",
        "user_agent": "curl",
    }
    assert first["mita.tags"]["security_event"] == "unusual_location"
    assert "mita.event.id" not in second
    assert recording.records[0].log_record.body == "security event: unusual_location"
    counts = recording.counts("mita.security.events")
    assert counts == {
        ("security_violation", "unusual_location", "high"): 1,
        ("security_violation", "new_device", "low"): 1,
    }


def test_an_event_does_not_describe_later_errors_spans_or_log_records(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("request"):
        set_security_context("failed_login", "high", {"ip_address": "192.0.2.1"})
        with monitor_financial_operation("charge", category="payment_processing"):
            capture_financial_error(ValueError("x"))
    error = recording.error
    assert error["mita.tags"]["error_category"] == "payment_processing"
    assert "security_event" not in error["mita.tags"]
    assert "mita.security.event_type" not in error
    assert "security" not in error["mita.contexts"]
    assert "mita.security.event_type" not in (recording.span("charge").attributes or {})
    assert (recording.span("request").attributes or {})["mita.security.event_type"] == "failed_login"


def test_the_policy_sets_the_severity_from_which_an_event_is_an_issue(record: Record) -> None:
    recording = record(security={"issue_from": "security_critical"})
    set_security_context("a", "critical")
    set_security_context("b", FinancialSeverity.SECURITY_CRITICAL)
    assert ["mita.event.id" in event for event in recording.events("mita.security")] == [False, True]


def test_the_user_of_an_event_does_not_become_the_context_user(recording: Recording) -> None:
    set_security_context("failed_login", "medium", user_id="victim")
    capture_financial_error(ValueError("x"))
    assert "user.id" not in recording.error


def test_an_event_without_a_user_has_the_context_user(recording: Recording) -> None:
    set_financial_user(UserContext("u-1", risk_level="low"))
    set_security_context("password_change")
    [captured] = recording.events("mita.security")
    assert captured["user.id"] == "u-1"


def test_many_failed_logins_are_one_brute_force_event(recording: Recording) -> None:
    for _ in range(8):
        set_security_context("failed_login", "high", {"ip_address": "192.0.2.1"}, user_id="u-1")
        recording.clock.now += 1
    events = recording.events("mita.security")
    failed = [event for event in events if event["mita.security.event_type"] == "failed_login"]
    attacks = [event for event in events if event["mita.security.event_type"] == "brute_force_suspected"]
    assert [event["mita.security.attempts"] for event in failed] == [1, 2, 3, 4, 5, 6, 7, 8]
    [attack] = attacks
    assert attack["mita.severity"] == "security_critical"
    assert attack["mita.error.category"] == "security_violation"
    assert attack["user.id"] == "u-1"
    assert attack["mita.event.id"]
    assert {event["mita.error.category"] for event in failed} == {"authentication"}


def test_failed_logins_of_many_users_from_one_address_are_an_attack(recording: Recording) -> None:
    for number in range(5):
        set_security_context("failed_login", "medium", {"ip": "192.0.2.1"}, user_id=f"u-{number}")
    kinds = [event["mita.security.event_type"] for event in recording.events("mita.security")]
    assert kinds.count("brute_force_suspected") == 1


def test_an_attempt_count_of_the_application_is_used(recording: Recording) -> None:
    set_security_context("failed_login", "medium", {"attempt_count": 7}, user_id="u-1")
    first, second = recording.events("mita.security")
    assert first["mita.security.attempts"] == 7
    assert second["mita.security.event_type"] == "brute_force_suspected"


def test_a_successful_login_resets_the_users_count(recording: Recording) -> None:
    for _ in range(4):
        set_security_context("failed_login", user_id="u-1")
    set_security_context("login_success", "low", user_id="u-1")
    set_security_context("failed_login", user_id="u-1")
    assert recording.events("mita.security")[-1]["mita.security.attempts"] == 1
    assert [signal.outcome for signal in recording.audit.signals] == [*["failure"] * 4, "success", "failure"]


def test_failures_outside_the_window_do_not_count() -> None:
    clock = Clock()
    counter = FailureCounter(POLICY, clock)
    for _ in range(4):
        counter.add("u")
    clock.now += POLICY.window_s
    assert counter.add("u") == (1, False)


def test_a_continuing_attack_is_reported_once_per_window() -> None:
    clock = Clock()
    counter = FailureCounter(POLICY, clock)
    reported = []
    for second in range(1000):
        if counter.add("u")[1]:
            reported.append(second)
        clock.now += 1
    assert reported == [4, 304, 604, 904]


def test_the_number_of_tracked_users_is_bounded() -> None:
    counter = FailureCounter(
        policy_with(security={"brute_force": {"max_tracked": 10}}).security.brute_force, Clock()
    )
    counter.add("first")
    for number in range(10):
        counter.add(f"u-{number}")
    assert counter.add("first") == (1, False), "the one longest quiet is forgotten first"
    for _ in range(100_000):
        counter.add("u-9")
    assert counter.add("u-9")[0] == 500


def test_counts_are_exact_across_threads() -> None:
    counter = FailureCounter(
        policy_with(security={"brute_force": {"attempts": 1000}}).security.brute_force, Clock()
    )
    threads = [threading.Thread(target=lambda: [counter.add("u") for _ in range(100)]) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counter.add("u") == (801, False)


def test_events_without_user_and_address_are_not_an_attack(recording: Recording) -> None:
    for _ in range(10):
        set_security_context("failed_login")
    assert len(recording.events("mita.security")) == 10


@pytest.mark.parametrize("severity", ["", "none", "HIGH"])
def test_any_severity_is_accepted(recording: Recording, severity: str) -> None:
    set_security_context("x", severity)
    expected = "high" if severity == "HIGH" else "medium"
    assert recording.events("mita.security")[0]["mita.severity"] == expected


def test_without_configuration_nothing_happens() -> None:
    assert set_security_context("failed_login", "high", {"a": 1}, "u") == ""
