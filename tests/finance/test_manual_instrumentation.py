"""Statements and requests without instrumentation are measured manually, with their limits."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import context, trace
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind
from starlette.requests import Request

from finance.asgi import http_scope, request
from finance.recording import Recording
from mita_otel import (
    FinancialSentryMiddleware,
    capture_financial_error,
    monitor_api_request,
    monitor_database_operation,
    monitor_financial_operation,
    semconv,
)
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import LimitBook
from mita_otel.policy import default_policy


def test_a_client_span_has_the_limit_of_its_verb(recording: Recording) -> None:
    with (
        monitor_financial_operation("payment_processing"),
        monitor_database_operation(
            "SELECT", "payments", system="postgresql", statement="SELECT 1", additional_context={"shard": 3}
        ) as query,
    ):
        query.set_data("rows", 5)
        query.set_tag("replica", "eu")
    span, operation = recording.spans
    assert (span.name, span.kind) == ("SELECT payments", trace.SpanKind.CLIENT)
    assert span.parent is not None and operation.context is not None
    assert span.parent.span_id == operation.context.span_id
    attributes = dict(span.attributes or {})
    assert attributes["db.system.name"] == "postgresql"
    assert attributes["mita.operation.data.shard"] == 3
    assert attributes["mita.operation.data.rows"] == 5
    assert attributes["mita.tag.replica"] == "eu"
    assert semconv.OPERATION not in attributes
    facts = SpanFacts(span.name, span.kind.name, 201, attributes)
    verdict = LimitBook(default_policy().thresholds).judge(facts)
    assert "database.SELECT" in str(verdict)


def test_an_exception_marks_the_span_and_propagates(recording: Recording) -> None:
    with pytest.raises(TimeoutError), monitor_database_operation("CALL"):
        raise TimeoutError("no answer")
    [span] = recording.spans
    assert span.status.status_code is trace.StatusCode.ERROR
    assert (span.attributes or {})["error.type"] == "TimeoutError"


async def test_async_operations_nest_and_can_be_cancelled(recording: Recording) -> None:
    async with monitor_database_operation("SELECT"), monitor_database_operation("INSERT"):
        await asyncio.sleep(0)

    async def hang() -> None:
        async with monitor_database_operation("UPDATE"):
            await asyncio.sleep(60)

    task = asyncio.create_task(hang())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    inner, outer, cancelled = recording.spans
    assert inner.parent is not None and outer.context is not None
    assert inner.parent.span_id == outer.context.span_id
    assert cancelled.status.status_code is trace.StatusCode.UNSET
    assert trace.get_current_span() is trace.INVALID_SPAN


async def test_it_decorates_functions_coroutines_and_generators(recording: Recording) -> None:
    @monitor_database_operation("SELECT", "a")
    def plain(x: int) -> int:
        return x + 1

    @monitor_database_operation("SELECT", "b")
    async def later(x: int) -> int:
        return x + 1

    @monitor_database_operation("SELECT", "c")
    def rows() -> Iterator[str]:
        yield trace.get_current_span().name  # type: ignore[attr-defined]

    assert (plain(1), await later(2), list(rows())) == (2, 3, ["SELECT c"])
    assert [span.name for span in recording.spans] == ["SELECT a", "SELECT b", "SELECT c"]


def test_without_configuration_nothing_is_measured() -> None:
    with monitor_database_operation("SELECT", statement="SELECT 1") as query:
        query.set_data("rows", 1)
    assert monitor_database_operation("SELECT")(lambda x: x)(5) == 5


def endpoint(recording: Recording, fails: bool = False) -> Any:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        async with (
            monitor_api_request(Request(scope), user_id="u-1", additional_context={"items": 3}) as monitored,
            monitor_api_request(Request(scope)) as again,
        ):
            monitored.set_data("found", 2)
            again.set_tag("channel", "app")
            with recording.tracer.start_as_current_span("query"):
                if fails:
                    raise ValueError("gateway refused")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    return app


def servers(recording: Recording) -> list[dict[str, Any]]:
    return [dict(span.attributes or {}) for span in recording.spans if span.kind is SpanKind.SERVER]


def traced(app: Any, recording: Recording) -> Any:
    return OpenTelemetryMiddleware(  # type: ignore[no-untyped-call]
        app, tracer_provider=recording.tracer_provider, exclude_spans=["receive", "send"]
    )


@pytest.mark.parametrize("around", ["nothing", "middleware", "instrumentation", "both", "both, outside in"])
async def test_a_request_has_one_server_span_with_all_attributes(recording: Recording, around: str) -> None:
    app = endpoint(recording)
    match around:
        case "middleware":
            app = FinancialSentryMiddleware(app)
        case "instrumentation":
            app = traced(app, recording)
        case "both":
            app = traced(FinancialSentryMiddleware(app), recording)
        case "both, outside in":
            app = FinancialSentryMiddleware(traced(app, recording))
    before = context.get_current()
    await request(app, "POST", "/api/transactions")
    assert context.get_current() is before
    [server] = servers(recording)
    assert server["user.id"] == "u-1"
    assert server["mita.operation.data.items"] == 3
    assert server["mita.operation.data.found"] == 2
    assert server["mita.tag.channel"] == "app"
    assert server.get("http.request.method", server.get("http.method")) == "POST"
    query = dict(recording.span("query").attributes or {})
    assert query["user.id"] == "u-1"


@pytest.mark.parametrize("around", ["nothing", "middleware"])
async def test_an_error_in_a_request_is_captured_once(recording: Recording, around: str) -> None:
    app = endpoint(recording, fails=True)
    if around == "middleware":
        app = FinancialSentryMiddleware(app)
    with pytest.raises(ValueError, match="gateway refused"):
        await request(app, "POST", "/api/transactions")
    assert recording.error["mita.error.category"] == "transaction_processing"
    assert recording.error["mita.handled"] is False
    [span] = [span for span in recording.spans if span.kind is SpanKind.SERVER]
    assert span.status.status_code.name == "ERROR"
    assert [event.name for event in span.events if event.name == "exception"] == ["exception"]


def test_it_is_a_synchronous_context_manager_with_an_optional_scope(recording: Recording) -> None:
    with monitor_api_request(http_scope("GET", "/api/budgets")):
        capture_financial_error(ValueError("x"))
    with monitor_api_request(None) as monitored:
        monitored.set_data("a", 1)
    assert recording.error["mita.error.category"] == "budget_calculation"
    assert len(servers(recording)) == 1


async def test_without_configuration_nothing_is_measured_api_request() -> None:
    before = context.get_current()
    scope = http_scope()
    async with monitor_api_request(scope, "u-1", {"a": 1}) as monitored:
        monitored.set_result(object())
        assert context.get_current() is before
    assert "mita_otel.request" not in scope
