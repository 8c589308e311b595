"""Errors that are logged, recorded or captured by sentry-sdk in an operation get its financial context."""

from __future__ import annotations

import logging

import pytest
from opentelemetry.trace import SpanContext, StatusCode

from finance.recording import Recording
from mita_otel import add_financial_breadcrumb, capture_financial_error, financial_transaction_context
from mita_otel.captured import is_reported
from mita_otel.finance.monitors import Monitor
from mita_otel.finance.reported_errors import capture_logged, report_issue, report_recorded
from mita_otel.instrumentation.logging import StandardLogging
from mita_otel.instrumentation.patches import Patches

LOGGER = logging.getLogger("bank.payments")
TAGS = {
    "financial_service": "true",
    "financial_operation": "charge",
    "error_category": "payment_processing",
    "severity": "critical",
    "transaction_id": "tx-7",
}


@pytest.fixture(autouse=True)
def _hooked(recording: Recording, patches: Patches) -> None:
    """Emit records of standard logging, and capture errors among them, as `configure()` does."""
    StandardLogging("INFO", recording.logger_provider, on_error=capture_logged).install(patches)


def charge() -> Monitor:
    return financial_transaction_context(
        "u-1", "charge", "tx-7", "9.90", "EUR", category="payment_processing"
    )


def test_a_logged_exception_is_captured_once_with_full_context(recording: Recording) -> None:
    with charge():
        add_financial_breadcrumb("asked the gateway")
        try:
            raise ConnectionError("gateway refused")
        except ConnectionError as error:
            LOGGER.exception("charging failed")
            event_id = capture_financial_error(error)
    assert recording.error["mita.event.id"] == event_id
    assert recording.error["mita.tags"] == TAGS
    assert [crumb["message"] for crumb in recording.error["mita.breadcrumbs"]] == ["asked the gateway"]
    assert recording.counts("mita.errors") == {("payment_processing", "true", "critical", "service"): 1}
    assert [signal.kind for signal in recording.audit.signals] == ["error", "operation"]


def test_a_logged_message_is_an_error_grouped_by_its_template(recording: Recording) -> None:
    with charge():
        for number in (1, 2):
            LOGGER.error("attempt %d failed", number)
    first, second = recording.events()
    assert first["mita.tags"] == TAGS
    template = ("payment_processing", "bank.payments", "attempt %d failed")
    assert tuple(first["mita.fingerprint"]) == tuple(second["mita.fingerprint"]) == template
    assert first["mita.event.id"] != second["mita.event.id"]


def test_a_log_line_does_not_fail_the_operation(recording: Recording) -> None:
    with charge():
        LOGGER.error("attempt failed")
    assert recording.span("charge").status.status_code is StatusCode.UNSET


@pytest.mark.parametrize(("level", "number"), [(logging.ERROR, 17), (logging.CRITICAL, 21)])
def test_a_logged_error_has_at_least_the_level_of_its_record(
    recording: Recording, level: int, number: int
) -> None:
    with financial_transaction_context("u-1", "analysis", category="financial_analysis"):
        LOGGER.log(level, "failed")
    [error] = [one for one in recording.records if one.log_record.event_name == "mita.error"]
    assert error.log_record.severity_number is not None
    assert error.log_record.severity_number.value == number
    assert recording.error["mita.severity"] == "medium"


def test_the_record_is_still_emitted_and_is_marked(recording: Recording) -> None:
    seen: list[logging.LogRecord] = []
    handler = logging.Handler()
    handler.emit = seen.append  # type: ignore[method-assign, assignment]
    LOGGER.addHandler(handler)
    try:
        with charge():
            LOGGER.error("attempt failed")
    finally:
        LOGGER.removeHandler(handler)
    assert is_reported(seen[0])
    [emitted] = [one for one in recording.records if one.log_record.event_name is None]
    assert emitted.log_record.body == "attempt failed"
    assert "__mita_event_id__" not in (emitted.log_record.attributes or {})
    assert "mita.event.id" not in (emitted.log_record.attributes or {})


def test_outside_a_financial_operation_nothing_is_captured(recording: Recording) -> None:
    LOGGER.error("failed")
    assert recording.events() == []
    assert report_issue("a" * 32, ValueError("x"), "", level=17) is None


def test_expected_exceptions_and_warnings_are_not_captured(recording: Recording) -> None:
    class HTTPException(Exception):  # noqa: N818 - the name of the frameworks' class
        status_code = 404

    with charge():
        LOGGER.warning("slow")
        LOGGER.error("not found", exc_info=HTTPException())
    assert recording.events() == []


def test_an_issue_of_sentry_sdk_gets_context_and_is_counted(recording: Recording) -> None:
    with charge():
        described = report_issue("a" * 32, ValueError("x"), "", level=17)
    assert described is not None
    assert described["mita.tags"] == TAGS
    assert recording.error["mita.event.id"] == "a" * 32
    assert recording.counts("mita.errors") == {("payment_processing", "true", "critical", "service"): 1}


def test_a_recorded_exception_has_category_and_severity_of_its_operation(recording: Recording) -> None:
    context = SpanContext(1, 2, is_remote=False)
    exception = {"exception.type": "ValueError", "exception.message": "x", "exception.stacktrace": "…"}
    described = report_recorded(
        "b" * 32, {"mita.operation": "process_payment", "user.id": "u-1"}, context, exception
    )
    assert described == {"mita.error.category": "payment_processing", "mita.severity": "critical"}
    assert recording.error["mita.event.id"] == "b" * 32
    assert recording.error["user.id"] == "u-1"
    assert recording.audit.signals[0].user_id == "u-1"
    assert report_recorded("c" * 32, {"http.route": "/"}, context, exception) == {}
