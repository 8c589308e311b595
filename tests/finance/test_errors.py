"""Errors are captured once, with category, severity and context."""

from __future__ import annotations

import asyncio
import re
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from opentelemetry.trace import StatusCode

import mita_otel
from finance.conftest import Record
from finance.recording import Recording
from leaks import shows
from mita_otel import (
    FinancialErrorCategory,
    FinancialSeverity,
    UserContext,
    capture_financial_error,
    set_financial_user,
)
from mita_otel.captured import event_id_of, mark

GUIDE = {
    "authentication": "high",
    "transaction_processing": "critical",
    "payment_processing": "critical",
    "budget_calculation": "high",
    "financial_analysis": "medium",
    "security_violation": "critical",
    "compliance_issue": "critical",
}


def fail(message: str = "gateway refused") -> Exception:
    try:
        raise ValueError(message)
    except ValueError as error:
        return error


def test_an_error_is_a_log_record_with_all_arguments(recording: Recording) -> None:
    error = fail()
    with recording.tracer.start_as_current_span("work") as span:
        event_id = capture_financial_error(
            error,
            FinancialErrorCategory.TRANSACTION_PROCESSING,
            FinancialSeverity.CRITICAL,
            user_id="u-1",
            transaction_id="tx-9",
            amount=0.1 + 0.2,
            currency="usd",
            additional_context={"payment_method": "credit_card"},
            tags={"channel": "app"},
        )
    [record] = recording.records
    log = record.log_record
    assert (log.event_name, log.body, log.exception) == ("mita.error", "gateway refused", error)
    assert log.severity_number is not None
    assert (log.severity_number.value, log.severity_text) == (21, "FATAL")
    assert (log.trace_id, log.span_id) == (span.get_span_context().trace_id, span.get_span_context().span_id)
    error_attributes = recording.error
    assert re.fullmatch(r"[0-9a-f]{32}", event_id)
    assert error_attributes["mita.event.id"] == event_id
    assert error_attributes["mita.error.category"] == "transaction_processing"
    assert error_attributes["mita.severity"] == "critical"
    assert error_attributes["user.id"] == "u-1"
    assert error_attributes["mita.transaction.id"] == "tx-9"
    assert (error_attributes["mita.amount"], error_attributes["mita.currency"]) == ("0.30", "USD")
    assert error_attributes["mita.handled"] is True
    assert error_attributes["mita.contexts"]["financial"] == {
        "category": "transaction_processing",
        "severity": "critical",
        "transaction_id": "tx-9",
        "amount": "0.30",
        "currency": "USD",
    }
    assert error_attributes["mita.contexts"]["user"] == {"id": "u-1"}
    assert error_attributes["mita.contexts"]["additional"] == {"payment_method": "credit_card"}
    assert error_attributes["mita.tags"] == {
        "financial_service": "true",
        "severity": "critical",
        "error_category": "transaction_processing",
        "transaction_id": "tx-9",
        "channel": "app",
    }
    assert error_attributes["exception.type"] == "ValueError"


def test_capture_can_be_awaited_or_called(recording: Recording) -> None:
    async def awaited() -> str:
        return await capture_financial_error(fail())

    first, second = asyncio.run(awaited()), capture_financial_error(fail())
    assert type(first) is str
    assert isinstance(second, str)
    assert len(first) == len(second) == 32
    assert [event["mita.event.id"] for event in recording.events()] == [first, second]


async def test_several_captures_can_be_gathered(recording: Recording) -> None:
    ids = await asyncio.gather(*(capture_financial_error(fail()) for _ in range(3)))
    assert len(set(ids)) == 3


def test_an_exception_is_captured_once_over_repeated_calls(recording: Recording) -> None:
    error = fail()
    first = capture_financial_error(error, "payment_processing")
    assert capture_financial_error(error, "system_error") == first
    assert event_id_of(error) == first
    assert len(recording.events()) == 1
    assert recording.counts("mita.errors") == {("payment_processing", "true", "critical", "service"): 1}


def test_an_exception_captured_elsewhere_returns_that_event_id(recording: Recording) -> None:
    error = fail()
    mark(error, "f" * 32)
    assert capture_financial_error(error) == "f" * 32
    assert recording.records == []


@pytest.mark.parametrize(("category", "severity"), GUIDE.items())
def test_each_category_has_the_default_severity_of_the_guide(
    recording: Recording, category: str, severity: str
) -> None:
    capture_financial_error(fail(), FinancialErrorCategory(category))
    assert recording.error["mita.severity"] == severity


@pytest.mark.parametrize(
    ("severity", "number", "text"),
    [
        (FinancialSeverity.SECURITY_CRITICAL, 24, "FATAL4"),
        ("CRITICAL", 21, "FATAL"),
        (FinancialSeverity.HIGH, 17, "ERROR"),
        ("medium", 13, "WARN"),
        (FinancialSeverity.LOW, 9, "INFO"),
    ],
)
def test_each_severity_has_its_opentelemetry_number(
    recording: Recording, severity: str, number: int, text: str
) -> None:
    capture_financial_error(fail(), severity=severity)
    log = recording.records[0].log_record
    assert log.severity_number is not None
    assert (log.severity_number.value, log.severity_text) == (number, text)


@pytest.mark.parametrize(
    ("severity", "number"),
    [("low", 17), ("medium", 17), ("high", 17), ("critical", 21), ("security_critical", 24)],
)
def test_an_unhandled_exception_is_at_least_an_error_and_fails_its_span(
    recording: Recording, severity: str, number: int
) -> None:
    with recording.tracer.start_as_current_span("work"):
        capture_financial_error(fail(), severity=severity, handled=False)
    log = recording.records[0].log_record
    assert log.severity_number is not None
    assert log.severity_number.value == number
    assert recording.error["mita.severity"] == severity, "the category's severity stays"
    assert recording.span("work").status.status_code is StatusCode.ERROR


def test_a_handled_error_keeps_the_level_of_its_category(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("work"):
        capture_financial_error(fail(), severity="medium")
    assert recording.records[0].log_record.severity_text == "WARN"
    assert recording.span("work").status.status_code is StatusCode.UNSET


def test_the_policy_sets_the_level_of_unhandled_exceptions(record: Record) -> None:
    recording = record(operations={"unhandled_level": "critical"})
    capture_financial_error(fail(), severity="low", handled=False)
    assert recording.records[0].log_record.severity_text == "FATAL"


def test_the_policy_adds_categories_and_any_enumeration_is_accepted(record: Record) -> None:
    class Ours(Enum):
        LOAN = "loan_approval"

    recording = record(categories={"loan_approval": "low"})
    capture_financial_error(fail(), Ours.LOAN)  # type: ignore[arg-type]
    assert recording.error["mita.error.category"] == "loan_approval"
    assert recording.error["mita.severity"] == "low"


def test_an_unknown_category_has_high_severity(recording: Recording) -> None:
    capture_financial_error(fail(), "no_such_category")
    assert recording.error["mita.error.category"] == "no_such_category"
    assert recording.error["mita.severity"] == "high"


@pytest.mark.parametrize(
    ("capture", "arguments", "category", "additional"),
    [
        ("transaction", {"transaction_type": "transfer", "category": "rent"}, "transaction_processing",
         {"transaction_type": "transfer", "transaction_category": "rent"}),
        ("authentication", {"auth_method": "password", "ip_address": "192.0.2.1"}, "authentication",
         {"auth_method": "password", "ip_address": "192.0.2.1"}),
        ("payment", {"payment_method": "sepa", "payment_provider": "acme"}, "payment_processing",
         {"payment_method": "sepa", "payment_provider": "acme"}),
        ("budget", {"budget_category": "food", "calculation_type": "monthly"}, "budget_calculation",
         {"budget_category": "food", "calculation_type": "monthly"}),
        ("security", {"event_type": "intrusion", "extra": 1}, "security_violation",
         {"event_type": "intrusion", "extra": 1}),
        ("compliance", {"regulation": "PCI_DSS", "requirement": "3.4", "additional_context": {"a": 1}},
         "compliance_issue", {"regulation": "PCI_DSS", "requirement": "3.4", "a": 1}),
    ],
)  # fmt: skip
def test_each_special_function_captures_its_category(
    recording: Recording, capture: str, arguments: dict[str, Any], category: str, additional: dict[str, Any]
) -> None:
    function = getattr(mita_otel, f"capture_{capture}_error")
    event_id = function(fail(), user_id="u-1", severity="low", tags={"a": "b"}, **arguments)
    error_attributes = recording.error
    assert error_attributes["mita.event.id"] == event_id
    assert error_attributes["mita.error.category"] == category
    assert error_attributes["mita.severity"] == "low"
    assert error_attributes["mita.tags"]["a"] == "b"
    assert error_attributes["mita.contexts"]["additional"] == additional


def test_the_context_user_is_complete_and_another_has_its_id_only(recording: Recording) -> None:
    set_financial_user(UserContext("u-1", email="ada@example.com", risk_level="low"))
    capture_financial_error(fail())
    capture_financial_error(fail(), user_id="u-1")
    capture_financial_error(fail(), user_id="u-2")
    whole = {"id": "u-1", "email": "ada@example.com", "risk_level": "low"}
    users = [event["mita.contexts"]["user"] for event in recording.events()]
    assert users == [whole, whole, {"id": "u-2"}]


def test_the_span_records_its_most_severe_error(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("work"):
        bad = capture_financial_error(fail(), "payment_processing")
        capture_financial_error(fail("less bad"), severity="low")
    span = recording.span("work")
    assert span.attributes is not None
    assert span.attributes["mita.severity"] == "critical"
    assert span.attributes["mita.error.category"] == "payment_processing"
    assert span.attributes["mita.event.id"] == bad
    assert [event.name for event in span.events] == ["mita.error", "mita.error"]
    assert span.status.status_code.name == "ERROR"
    assert span.status.description == "gateway refused"


def test_a_warning_does_not_fail_the_span(recording: Recording) -> None:
    with recording.tracer.start_as_current_span("work"):
        capture_financial_error(fail(), severity=FinancialSeverity.MEDIUM)
    assert recording.span("work").status.status_code.name == "UNSET"


def test_an_error_outside_any_span_is_captured(recording: Recording) -> None:
    assert capture_financial_error(fail())
    assert recording.records[0].log_record.trace_id == 0


class Nasty(Exception):  # noqa: N818
    def __str__(self) -> str:
        raise RuntimeError("no text")


class NastyValue:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no attribute")

    def __repr__(self) -> str:
        raise RuntimeError("no repr")


@pytest.mark.parametrize(
    "arguments",
    [
        {"user_id": NastyValue()},
        {"amount": "a lot"},
        {"amount": float("nan"), "currency": 5},
        {"request": NastyValue()},
        {"additional_context": {"x": NastyValue(), 5: {1, 2}, "deep": [[[[[[[[["x"]]]]]]]]]}},
        {"additional_context": {str(number): "x" * 100_000 for number in range(500)}},
        {"tags": {"a": NastyValue()}},
        {"fingerprint": [NastyValue()]},
        {"severity": "no such severity", "category": ""},
    ],
    ids=lambda arguments: next(iter(arguments)),
)
def test_capture_never_raises(recording: Recording, arguments: dict[str, Any]) -> None:
    assert isinstance(capture_financial_error(Nasty(), **arguments), str)


@pytest.mark.parametrize(
    ("given", "called"), [(None, "NoneType"), ("declined", "str"), (ValueError, "a class")], ids=repr
)
def test_a_value_that_is_not_an_exception_is_logged_once(
    recording: Recording, caplog: pytest.LogCaptureFixture, given: Any, called: str
) -> None:
    assert [capture_financial_error(given) for _ in range(2)] == ["", ""]
    [said] = caplog.records
    assert said.exc_info is None
    assert f"got {called} instead of an exception: nothing was captured" in said.getMessage()
    assert recording.events() == []


def test_an_exception_with_a_failing_str_is_named_by_its_type(recording: Recording) -> None:
    event_id = capture_financial_error(Nasty())
    assert recording.records[0].log_record.body == "Nasty"
    assert recording.error["mita.event.id"] == event_id


def test_large_contexts_are_truncated(recording: Recording) -> None:
    many = {str(number): "x" * 100_000 for number in range(500)}
    capture_financial_error(fail(), additional_context=many)
    additional = recording.error["mita.contexts"]["additional"]
    assert len(additional) == 64
    assert {len(text) for text in additional.values()} == {2048}


def test_context_values_are_converted_to_json(recording: Recording) -> None:
    context = {
        "amount": Decimal("1.10"),
        "category": FinancialErrorCategory.AUTHENTICATION,
        "none": None,
        "raw": b"abc",
    }
    capture_financial_error(fail(), additional_context=context)
    assert recording.error["mita.contexts"]["additional"] == {
        "amount": "1.10",
        "category": "authentication",
        "raw": "<3 bytes>",
    }


def test_without_an_exporter_errors_are_logged_redacted(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    from opentelemetry._logs import NoOpLogger

    recording.runtime.logger = NoOpLogger("test")
    event_id = capture_financial_error(fail("card 4111 1111 1111 1111"), "payment_processing")
    with recording.tracer.start_as_current_span("work"):
        capture_financial_error(fail())
    [line] = caplog.records
    assert f"mita.error {event_id} of severity critical (payment_processing, ValueError" in line.message
    assert not shows(line.message)


def test_an_error_is_audited(recording: Recording) -> None:
    event_id = capture_financial_error(
        fail(), "payment_processing", user_id="u-1", transaction_id="tx-1", amount=5, currency="EUR"
    )
    [signal] = recording.audit.signals
    assert (signal.kind, signal.name, signal.outcome) == ("error", "payment_processing", "failure")
    assert (signal.event_id, signal.user_id, signal.transaction_id) == (event_id, "u-1", "tx-1")
    assert (signal.amount, signal.currency, signal.severity) == ("5.00", "EUR", "critical")


def test_a_failing_audit_trail_does_not_affect_the_caller(
    recording: Recording, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def record(self, event: object, /) -> None:
            raise OSError("disk full")

    recording.runtime.audit = Broken()
    assert capture_financial_error(fail())
    assert capture_financial_error(fail())
    assert len(caplog.records) == 1
    assert "audit trail failed" in caplog.records[0].message


def test_without_configuration_nothing_is_captured_or_marked() -> None:
    error = fail()
    assert capture_financial_error(error, "payment_processing", user_id="u-1") == ""
    assert event_id_of(error) is None
    assert asyncio.run(_await(error)) == ""


async def _await(error: Exception) -> str:
    return await capture_financial_error(error)
