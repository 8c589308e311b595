"""Each way in which an error of a financial operation becomes known makes one issue, with the same tags."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import sentry_sdk
from opentelemetry import trace

from e2e.receiver import Receiver
from mita_otel import (
    add_financial_breadcrumb,
    capture_financial_error,
    configure,
    financial_transaction_context,
)

LOGGER = logging.getLogger("bank.payments")


@pytest.fixture
def receiver(isolated_telemetry: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Receiver]:
    monkeypatch.chdir(tmp_path)
    backend = Receiver()
    monkeypatch.setenv("SENTRY_DSN", backend.dsn)
    yield backend
    backend.close()


def by_the_financial_api(error: Exception) -> None:
    capture_financial_error(error)


def by_logger_exception(error: Exception) -> None:
    LOGGER.exception("charging failed")


def by_logger_error(error: Exception) -> None:
    LOGGER.error("charging failed")


def by_sentry_sdk(error: Exception) -> None:
    sentry_sdk.capture_exception(error)


def by_a_message_of_sentry_sdk(error: Exception) -> None:
    sentry_sdk.capture_message("charging failed", level="error")


def by_the_span(error: Exception) -> None:
    trace.get_current_span().record_exception(error)


def by_all_of_them(error: Exception) -> None:
    for report in (by_logger_exception, by_sentry_sdk, by_the_span, by_the_financial_api):
        report(error)


@pytest.mark.parametrize(
    "report",
    [
        by_the_financial_api,
        by_logger_exception,
        by_logger_error,
        by_sentry_sdk,
        by_a_message_of_sentry_sdk,
        by_the_span,
        by_all_of_them,
    ],
)
def test_one_issue_with_the_tags_of_the_operation(
    receiver: Receiver, report: Callable[[Exception], None]
) -> None:
    telemetry = configure(environment="test")
    with financial_transaction_context("u-1", "charge", "tx-7", category="payment_processing"):
        add_financial_breadcrumb("asked the gateway")
        try:
            raise ConnectionError("gateway refused")
        except ConnectionError as error:
            report(error)
    assert telemetry.flush(30)
    [event] = receiver.events
    expected = {
        "financial_service": "true",
        "error_category": "payment_processing",
        "severity": "critical",
        "financial_operation": "charge",
        "transaction_id": "tx-7",
    }
    assert {name: event["tags"].get(name) for name in expected} == expected
    messages = [crumb.get("message") for crumb in event["breadcrumbs"]["values"]]
    assert "asked the gateway" in str(messages)
