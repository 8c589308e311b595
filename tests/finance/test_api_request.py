"""`monitor_api_request` measures a request once, even with the middleware or another instrumentation."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry import context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind
from starlette.requests import Request

from finance.asgi import http_scope, request
from finance.recording import Recording
from mita_otel import FinancialSentryMiddleware, capture_financial_error, monitor_api_request


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


async def test_without_configuration_nothing_is_measured() -> None:
    before = context.get_current()
    scope = http_scope()
    async with monitor_api_request(scope, "u-1", {"a": 1}) as monitored:
        monitored.set_result(object())
        assert context.get_current() is before
    assert "mita_otel.request" not in scope
