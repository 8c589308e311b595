"""An error of a financial operation makes one issue with the same tags, however it is reported."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
import sentry_sdk
from fastapi import BackgroundTasks, FastAPI, Request
from fastapi.responses import JSONResponse
from opentelemetry import trace
from opentelemetry._logs import SeverityNumber, get_logger

from e2e.receiver import Receiver
from mita_otel import (
    add_financial_breadcrumb,
    capture_financial_error,
    configure,
)
from mita_otel import monitor_financial_operation as financial_operation

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


def by_an_inner_span(error: Exception) -> None:
    with suppress(ConnectionError), trace.get_tracer("bank").start_as_current_span("ask"):
        raise error


def by_a_log_record_of_opentelemetry(error: Exception) -> None:
    get_logger("bank").emit(severity_number=SeverityNumber.ERROR, body="charging failed", exception=error)


def by_all_of_them(error: Exception) -> None:
    for report in (by_logger_exception, by_sentry_sdk, by_the_span, by_the_financial_api):
        report(error)


WAYS: tuple[Callable[[Exception], None], ...] = (
    by_the_financial_api,
    by_logger_exception,
    by_logger_error,
    by_sentry_sdk,
    by_a_message_of_sentry_sdk,
    by_the_span,
    by_an_inner_span,
    by_a_log_record_of_opentelemetry,
    by_all_of_them,
)


def fail(report: Callable[[Exception], None]) -> None:
    add_financial_breadcrumb("asked the gateway")
    try:
        raise ConnectionError("gateway refused")
    except ConnectionError as error:
        report(error)


def described(event: dict[str, Any]) -> dict[str, Any]:
    names = ("financial_service", "error_category", "severity", "financial_operation")
    crumbs = [crumb.get("message") for crumb in event["breadcrumbs"]["values"]]
    return {
        **{name: event["tags"].get(name) for name in names},
        "breadcrumbs": crumbs.count("asked the gateway"),
    }


def test_each_report_makes_one_issue_with_the_tags_of_the_operation(receiver: Receiver) -> None:
    telemetry = configure(environment="test")
    found = {}
    for report in WAYS:
        with financial_operation("charge", category="loan", severity="critical", transaction_id="tx-7"):
            fail(report)
        assert telemetry.flush(30)
        found[report.__name__] = [described(event) for event in receiver.events]
        receiver.requests.clear()
    tags = {"financial_service": "true", "financial_operation": "charge"}
    of_operation = {"error_category": "loan", "severity": "critical"}
    expected = [{**tags, **of_operation, "breadcrumbs": 1}]
    assert found == {report.__name__: expected for report in WAYS}


def service() -> FastAPI:
    """Fail in each part of a financial route, with each kind of report."""
    app = FastAPI()
    ways = {report.__name__: report for report in WAYS}

    class RefusedError(Exception):
        pass

    @app.exception_handler(RefusedError)
    async def refuse(request: Request, error: RefusedError) -> JSONResponse:
        ways[str(error)](error)
        return JSONResponse({}, 409)

    @app.post("/api/payments/async/{way}")
    async def asynchronous(way: str) -> None:
        fail(ways[way])

    @app.post("/api/payments/sync/{way}")
    def synchronous(way: str) -> None:
        fail(ways[way])

    @app.post("/api/payments/background/{way}")
    async def in_the_background(way: str, tasks: BackgroundTasks) -> None:
        tasks.add_task(fail, ways[way])

    @app.post("/api/payments/handler/{way}")
    async def handled(way: str) -> None:
        add_financial_breadcrumb("asked the gateway")
        raise RefusedError(way)

    return app


async def test_each_report_has_the_tags_in_each_part_of_a_financial_route(receiver: Receiver) -> None:
    telemetry = configure(environment="test")
    transport = httpx.ASGITransport(service())
    client = httpx.AsyncClient(transport=transport, base_url="http://bank.example")
    found = {}
    for place in ("async", "sync", "background", "handler"):
        for report in WAYS:
            if (place, report) == ("handler", by_an_inner_span):
                continue  # the same exception, raised again
            await client.post(f"/api/payments/{place}/{report.__name__}", headers={"X-Request-ID": "r-1"})
            assert telemetry.flush(30)
            found[place, report.__name__] = [
                {**described(event), "request_id": event["tags"].get("request_id")}
                for event in receiver.events
            ]
            receiver.requests.clear()
    expected = [
        {
            "financial_service": "true",
            "financial_operation": "payment_processing",
            "error_category": "payment_processing",
            "severity": "critical",
            "breadcrumbs": 1,
            "request_id": "r-1",
        }
    ]
    assert {place: events for place, events in found.items() if events != expected} == {}
