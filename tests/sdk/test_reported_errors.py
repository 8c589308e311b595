"""The local alerts see each error of a financial operation once, however it is reported, with and without Sentry."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import sentry_sdk
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber, get_logger

from closing import Closing
from e2e.receiver import Receiver
from mita_otel import capture_financial_error, configure, monitor_financial_operation
from mita_otel.alerts.engine import AlertEngine
from mita_otel.alerts.events import AlertEvent

LOGGER = logging.getLogger("bank.payments")


def logged(error: Exception) -> None:
    LOGGER.exception("charging failed")


def logged_without_exception(error: Exception) -> None:
    LOGGER.error("charging failed")


def emitted(error: Exception) -> None:
    get_logger("bank").emit(severity_number=SeverityNumber.ERROR, body="charging failed", exception=error)


def recorded(error: Exception) -> None:
    trace.get_current_span().record_exception(error)


def raised_in_an_inner_span(error: Exception) -> None:
    with suppress(ConnectionError), trace.get_tracer("bank").start_as_current_span("ask"):
        raise error


def captured_by_sentry_sdk(error: Exception) -> None:
    sentry_sdk.capture_exception(error)


def in_all_ways(error: Exception) -> None:
    for report in (raised_in_an_inner_span, recorded, logged, emitted, capture_financial_error):
        report(error)


WAYS = (logged, logged_without_exception, emitted, recorded, raised_in_an_inner_span, in_all_ways)


@pytest.mark.parametrize(
    ("exporter", "ways"),
    [("memory", WAYS), ("sentry", (*WAYS, captured_by_sentry_sdk))],
    ids=["without Sentry", "with Sentry"],
)
def test_each_kind_of_report_is_one_alert_event(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    closing: Closing,
    exporter: str,
    ways: tuple[Callable[[Exception], object], ...],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_FINANCE_WEBHOOK", "http://127.0.0.1:9/hook")
    receiver = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    submitted: list[AlertEvent] = []
    monkeypatch.setattr(AlertEngine, "submit", lambda engine, event: submitted.append(event))
    telemetry = configure(environment="test", exporters=[exporter])
    found: dict[str, list[Any]] = {}
    for report in ways:
        with monitor_financial_operation("charge", category="loan", severity="critical"):
            try:
                raise ConnectionError("gateway refused")
            except ConnectionError as error:
                report(error)
        assert telemetry.flush(30)
        found[report.__name__] = [(one.category, one.severity, one.operation) for one in submitted]
        submitted.clear()
    assert found == {report.__name__: [("loan", "critical", "charge")] for report in ways}


class InsufficientFundsError(Exception):
    pass


@pytest.mark.parametrize("exporter", ["memory", "sentry"])
def test_an_expected_exception_on_an_inner_span_is_not_an_error(
    isolated_telemetry: None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    closing: Closing,
    exporter: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SLACK_FINANCE_WEBHOOK", "http://127.0.0.1:9/hook")
    receiver = closing(Receiver())
    monkeypatch.setenv("SENTRY_DSN", receiver.dsn)
    submitted: list[AlertEvent] = []
    monkeypatch.setattr(AlertEngine, "submit", lambda engine, event: submitted.append(event))
    telemetry = configure(environment="test", exporters=[exporter])
    with (
        suppress(InsufficientFundsError),
        trace.get_tracer("bank").start_as_current_span("job"),
        suppress(InsufficientFundsError),
        monitor_financial_operation("charge", expected_errors=[InsufficientFundsError]),
        trace.get_tracer("bank").start_as_current_span("ask"),
    ):
        raise InsufficientFundsError
    assert telemetry.flush(30)
    assert (submitted, receiver.events) == ([], [])
