"""The number of metric attribute values is bounded."""

from __future__ import annotations

from finance.conftest import Record
from finance.recording import Recording
from mita_otel import capture_financial_error, set_compliance_context, set_security_context


def test_names_above_the_limit_share_one_value(record: Record) -> None:
    recording = record(metrics={"max_names": 2})
    for number in range(50):
        set_compliance_context(f"RULE_{number}", status="violation")
        set_security_context(f"event_{number}", "high")
        capture_financial_error(ValueError("x"), f"category_{number}")
    for counter in ("mita.compliance.violations", "mita.security.events", "mita.errors"):
        counts = recording.counts(counter)
        assert len(counts) == 3, counts
        assert [count for labels, count in counts.items() if "(other)" in labels] == [48], counts


def test_names_in_the_policy_always_have_separate_values(record: Record) -> None:
    recording = record(metrics={"max_names": 1})
    for name in ("mine", "another", "brute_force_suspected", "failed_login"):
        set_security_context(name, "high")
    capture_financial_error(ValueError("x"), "another")
    capture_financial_error(ValueError("x"), "payment_processing")
    types = {labels[1] for labels in recording.counts("mita.security.events")}
    assert types == {"mine", "(other)", "brute_force_suspected", "failed_login"}
    assert {labels[0] for labels in recording.counts("mita.errors")} == {"another", "payment_processing"}


def test_errors_of_an_app_are_counted_apart_from_the_services(recording: Recording) -> None:
    counts = recording.runtime.counts
    counts.app_error("payment_processing", "critical", handled=True)
    counts.app_error("whatever 7", "very", handled=False)
    counts.app_error("whatever 8", "", handled=False)
    counts.error("payment_processing", "critical", handled=False)
    assert recording.counts("mita.errors") == {
        ("payment_processing", "true", "critical", "mobile"): 1,
        ("(other)", "false", "", "mobile"): 2,
        ("payment_processing", "false", "critical", "service"): 1,
    }
