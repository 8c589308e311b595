"""The middleware: pure ASGI, in any order with other instrumentation, for any application."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextvars import ContextVar
from typing import Any

import httpx
import pytest
from fastapi import APIRouter, BackgroundTasks, Depends, FastAPI, HTTPException, Request, WebSocket
from fastapi.responses import StreamingResponse
from opentelemetry import context
from opentelemetry.instrumentation.asgi import OpenTelemetryMiddleware
from opentelemetry.trace import SpanKind
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Mount, Route

from finance.asgi import App, Message, http_scope, request
from finance.conftest import Record
from finance.recording import Recording
from mita_otel import (
    FinancialSentryMiddleware,
    add_financial_breadcrumb,
    capture_financial_error,
    financial_transaction_context,
    request_operation,
    set_financial_user,
)
from mita_otel.instrumentation.fastapi import has_native_telemetry


def traced(app: App, recording: Recording) -> App:
    return OpenTelemetryMiddleware(  # type: ignore[no-untyped-call]
        app, tracer_provider=recording.tracer_provider, exclude_spans=["receive", "send"]
    )


def server_span(recording: Recording) -> dict[str, Any]:
    [span] = [span for span in recording.spans if span.kind is SpanKind.SERVER]
    return dict(span.attributes or {})


def leaf(recording: Recording, name: str = "query") -> dict[str, Any]:
    return dict(recording.span(name).attributes or {})


def bank(recording: Recording) -> FastAPI:  # noqa: C901
    """A service with one behaviour per route."""
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    def query(name: str = "query") -> None:
        with recording.tracer.start_as_current_span(name):
            pass

    @app.post("/api/transactions")
    async def create(incoming: Request) -> Any:
        body = await incoming.json()
        query()
        return body

    @app.get("/api/payments/{payment_id}")
    async def payment(payment_id: str) -> str:
        query()
        return payment_id

    @app.get("/api/fail")
    async def fail() -> None:
        add_financial_breadcrumb("about to fail")
        raise ValueError("gateway refused")

    @app.get("/api/missing")
    async def missing() -> None:
        raise HTTPException(404)

    @app.get("/api/handled")
    async def handled() -> str:
        return capture_financial_error(ValueError("x"), "payment_processing")

    def sync_user() -> None:
        set_financial_user("from a thread")

    @app.get("/api/dependency", dependencies=[Depends(sync_user)])
    def dependency() -> None:
        query()

    @app.get("/api/tagged", tags=["budget_calculation", "other"])
    async def tagged() -> None:
        query()

    @app.get("/api/extra", openapi_extra={"x-mita-operation": "loan", "x-mita-category": "data_validation"})
    async def extra() -> None:
        query()

    @app.get("/api/named", dependencies=[Depends(request_operation("payment_processing"))])
    async def named() -> None:
        query()

    @app.get("/api/stream")
    async def stream() -> StreamingResponse:
        async def parts() -> AsyncIterator[bytes]:
            for number in range(3):
                query(f"part {number}")
                yield b"%d" % number

        return StreamingResponse(parts())

    @app.get("/api/background")
    async def background(tasks: BackgroundTasks) -> None:
        set_financial_user("u-1")
        tasks.add_task(query, "in background")

    @app.get("/api/transfer")
    async def transfer() -> None:
        async with financial_transaction_context("u-9", "transfer", "tx-9", 5, "EUR"):
            query()

    @app.websocket("/api/payments/feed")
    async def feed(socket: WebSocket) -> None:
        await socket.accept()
        query()
        await socket.receive_text()

    return app


@pytest.mark.parametrize("order", ["inside", "outside"])
async def test_the_request_context_is_set_in_any_order_with_the_instrumentation(
    recording: Recording, order: str
) -> None:
    app: App = bank(recording)
    if order == "inside":
        app = traced(FinancialSentryMiddleware(app), recording)
    else:
        app = FinancialSentryMiddleware(traced(app, recording))
    answer = await request(
        app,
        "POST",
        "/api/transactions",
        [("content-type", "application/json"), ("x-request-id", "req-1")],
        [b'{"transaction_', b'id": "tx-1"}'],
        user=SimpleUser("ada"),
    )
    assert json.loads(answer.body) == {"transaction_id": "tx-1"}
    assert answer.headers["x-request-id"] == "req-1"
    server, query = server_span(recording), leaf(recording)
    for span in (server, query):
        assert span["user.id"] == "ada"
        assert span["mita.transaction.id"] == "tx-1"
        assert span["mita.operation.part_of"] == "transaction_processing"
        assert span["mita.request.id"] == "req-1"
    assert server["mita.operation.category"] == "transaction_processing"
    assert "mita.operation" not in server, "its limit is that of the request"


@pytest.mark.parametrize("order", ["inside", "outside"])
async def test_an_unhandled_error_is_captured_once_in_the_requests_trace(
    recording: Recording, order: str
) -> None:
    app: App = bank(recording)
    app = (
        traced(FinancialSentryMiddleware(app), recording)
        if order == "inside"
        else FinancialSentryMiddleware(traced(app, recording))
    )
    with pytest.raises(ValueError, match="gateway refused"):
        await request(app, path="/api/fail", state={"user": {"id": 7}})
    captured = recording.error
    assert captured["mita.handled"] is False
    assert captured["user.id"] == "7"
    assert captured["mita.error.category"] == "system_error"
    assert [crumb["message"] for crumb in captured["mita.breadcrumbs"]] == ["about to fail"]
    shown = captured["mita.contexts"]["request"]
    assert (shown["method"], shown["url"]) == ("GET", "http://bank.example/api/fail")
    [span] = [span for span in recording.spans if span.kind is SpanKind.SERVER]
    assert span.context is not None
    assert recording.records[0].log_record.trace_id == span.context.trace_id
    assert recording.records[0].log_record.span_id == span.context.span_id


async def test_an_unhandled_error_has_the_category_of_its_route(recording: Recording) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        raise ConnectionError("gateway")

    with pytest.raises(ConnectionError):
        await request(FinancialSentryMiddleware(broken), "POST", "/api/payments")
    assert recording.error["mita.error.category"] == "payment_processing"
    assert recording.error["mita.severity"] == "critical"
    assert recording.error["mita.pci.scope"] is True


async def test_a_crash_of_a_medium_category_is_an_error(recording: Recording) -> None:
    async def broken(scope: Any, receive: Any, send: Any) -> None:
        with financial_transaction_context("u-1", "analysis", category="financial_analysis"):
            raise ConnectionError("gateway")

    with pytest.raises(ConnectionError):
        await request(traced(FinancialSentryMiddleware(broken), recording), "GET", "/api/analysis")
    assert recording.error["mita.severity"] == "medium"
    assert recording.records[0].log_record.severity_text == "ERROR"


async def test_a_client_error_or_a_disconnect_is_not_captured(recording: Recording) -> None:
    app = FinancialSentryMiddleware(bank(recording))
    assert (await request(app, path="/api/missing")).status == 404
    assert (await request(app, path="/nowhere")).status == 404

    async def cancelled(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await request(FinancialSentryMiddleware(cancelled))
    assert recording.records == []


async def test_a_handled_error_does_not_fail_the_request(recording: Recording) -> None:
    app = traced(FinancialSentryMiddleware(bank(recording)), recording)
    answer = await request(app, path="/api/handled")
    assert json.loads(answer.body) == recording.error["mita.event.id"]
    server = server_span(recording)
    assert (server["mita.severity"], server["mita.error.category"]) == ("critical", "payment_processing")
    [span] = recording.spans
    assert span.status.status_code.name == "UNSET"


async def test_a_user_set_by_a_dependency_in_a_thread_is_on_the_request(recording: Recording) -> None:
    app = traced(FinancialSentryMiddleware(bank(recording)), recording)
    await request(app, path="/api/dependency")
    assert leaf(recording)["user.id"] == server_span(recording)["user.id"] == "from a thread"


@pytest.mark.parametrize(
    ("path", "operation", "category"),
    [
        ("/api/tagged", "budget_calculation", "budget_calculation"),
        ("/api/extra", "loan", "data_validation"),
        ("/api/named", "payment_processing", "payment_processing"),
        ("/api/payments/5", "payment_processing", "payment_processing"),
        ("/api/missing", None, None),
    ],
)
async def test_a_route_determines_operation_and_category(
    recording: Recording, path: str, operation: str | None, category: str | None
) -> None:
    await request(traced(FinancialSentryMiddleware(bank(recording)), recording), path=path)
    server = server_span(recording)
    assert server.get("mita.operation.part_of") == operation
    assert server.get("mita.operation.category") == category
    if operation:
        assert leaf(recording)["mita.operation.part_of"] == operation


async def test_a_path_parameter_does_not_determine_the_category(recording: Recording) -> None:
    app = FastAPI(telemetry={"tracing": False})

    @app.get("/files/{name}")
    async def file(name: str) -> None:
        pass

    await request(traced(FinancialSentryMiddleware(app), recording), path="/files/payments")
    assert "mita.operation.category" not in server_span(recording)


async def test_the_transaction_id_comes_from_the_path_or_a_header(recording: Recording) -> None:
    app = FinancialSentryMiddleware(bank(recording))
    await request(app, path="/api/payments/pay-7")
    assert leaf(recording)["mita.transaction.id"] == "pay-7"
    await request(app, path="/api/tagged", headers=[("x-transaction-id", "tx-5")])
    assert recording.spans[-1].attributes is not None
    assert recording.spans[-1].attributes["mita.transaction.id"] == "tx-5"


@pytest.mark.parametrize(
    ("content_type", "body", "found"),
    [
        ("application/json", b'{"transactionId": 5}', "5"),
        ("application/vnd.bank+json; charset=utf-8", b'{"payment_id": "p"}', "p"),
        ("application/json", b'{"nested": {"transaction_id": "tx-1"}}', None),
        ("application/json", b'["transaction_id"]', None),
        ("application/json", b'{"transaction_id": ["x"]}', None),
        ("application/json", b'{"transaction_id": "tx-1"', None),
        ("application/json", b'{"transaction_id": "tx-1", "x": "' + b"x" * 20_000 + b'"}', None),
        ("text/plain", b'{"transaction_id": "tx-1"}', None),
        ("application/json", b"\xff\xfe transaction_id", None),
        ("application/json", b"", None),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_the_transaction_id_comes_from_a_json_body_that_is_read(
    recording: Recording, content_type: str, body: bytes, found: str | None
) -> None:
    read = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        while True:
            message = await receive()
            read.append(message["body"])
            if not message["more_body"]:
                break
        with recording.tracer.start_as_current_span("query"):
            pass

    parts = [body[start : start + 7] for start in range(0, len(body), 7)]
    await request(FinancialSentryMiddleware(app), "POST", "/x", [("content-type", content_type)], parts)
    assert b"".join(read) == body, "nothing is consumed"
    assert leaf(recording).get("mita.transaction.id") == found


async def test_a_body_that_the_application_does_not_read_is_not_read(recording: Recording) -> None:
    calls = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        pass

    async def receive() -> Message:
        calls.append(1)
        return {"type": "http.request", "body": b"{}"}

    async def send(message: Message) -> None:
        pass

    scope = http_scope("POST", "/x", [("content-type", "application/json")])
    await FinancialSentryMiddleware(app)(scope, receive, send)
    assert calls == []


@pytest.mark.parametrize("given", ["", "a b", "x" * 200, "<script>", "a\r\nset-cookie: x"])
async def test_a_malformed_request_id_is_replaced(recording: Recording, given: str) -> None:
    answer = await request(FinancialSentryMiddleware(bank(recording)), headers=[("x-request-id", given)])
    assert len(answer.headers["x-request-id"]) == 32


async def test_the_policy_selects_the_response_headers(record: Record) -> None:
    recording = record(request={"respond_id": False, "respond_trace": True})
    app = traced(FinancialSentryMiddleware(bank(recording)), recording)
    answer = await request(app, path="/api/missing")
    assert "x-request-id" not in answer.headers
    [span] = recording.spans
    assert span.context is not None
    assert (
        answer.headers["traceresponse"]
        == f"00-{span.context.trace_id:032x}-{span.context.span_id:016x}-{span.context.trace_flags:02x}"
    )


async def test_a_response_header_of_the_application_is_kept(recording: Recording) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await JSONResponse({}, headers={"X-Request-ID": "own"})(scope, receive, send)

    answer = await request(FinancialSentryMiddleware(app))
    assert [value for name, value in answer.headers.items() if name.lower() == "x-request-id"] == ["own"]


async def test_a_stream_is_not_buffered_and_keeps_the_context(recording: Recording) -> None:
    app = traced(FinancialSentryMiddleware(bank(recording)), recording)
    answer = await request(app, path="/api/stream", state={"user_id": "u-1"})
    assert [message.get("body") for message in answer.messages[1:4]] == [b"0", b"1", b"2"]
    assert leaf(recording, "part 2")["user.id"] == "u-1"


async def test_background_tasks_have_the_context_of_the_request(recording: Recording) -> None:
    await request(traced(FinancialSentryMiddleware(bank(recording)), recording), path="/api/background")
    assert leaf(recording, "in background")["user.id"] == "u-1"


async def test_a_websocket_has_the_context_of_its_user(recording: Recording) -> None:
    incoming: Iterator[Message] = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.receive", "text": "x"}]
    )
    sent: list[Message] = []

    async def receive() -> Message:
        return dict(next(incoming))

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {
        **http_scope(path="/api/payments/feed"),
        "type": "websocket",
        "subprotocols": [],
        "state": {"user": "u-1"},
    }
    del scope["method"]
    await FinancialSentryMiddleware(bank(recording))(scope, receive, send)
    assert sent[0]["type"] == "websocket.accept"
    assert leaf(recording)["user.id"] == "u-1"
    assert leaf(recording)["mita.operation.part_of"] == "payment_processing"


async def test_a_websocket_closed_by_the_client_is_not_an_error(recording: Recording) -> None:
    incoming: Iterator[Message] = iter(
        [{"type": "websocket.connect"}, {"type": "websocket.disconnect", "code": 1001}]
    )

    async def receive() -> Message:
        return dict(next(incoming))

    async def send(message: Message) -> None:
        pass

    scope = {**http_scope(path="/api/payments/feed"), "type": "websocket", "subprotocols": []}
    del scope["method"]
    with pytest.raises(Exception, match="1001") as raised:
        await FinancialSentryMiddleware(bank(recording))(scope, receive, send)
    assert type(raised.value).__name__ == "WebSocketDisconnect"
    assert recording.records == []


async def test_context_variables_of_the_application_are_unchanged(recording: Recording) -> None:
    variable: ContextVar[str] = ContextVar("variable", default="none")
    seen = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(variable.get())
        variable.set("set inside")

    variable.set("set outside")
    before = context.get_current()
    await request(FinancialSentryMiddleware(app))
    assert seen == ["set outside"]
    assert variable.get() == "set inside"
    assert context.get_current() is before


async def test_the_lifespan_scope_is_passed_on_unchanged(recording: Recording) -> None:
    scopes = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        scopes.append(scope)

    scope = {"type": "lifespan"}
    await FinancialSentryMiddleware(app)(scope, None, None)  # type: ignore[arg-type]
    assert scopes == [{"type": "lifespan"}]


async def test_nested_middleware_captures_an_error_once(recording: Recording) -> None:
    inner = FastAPI(telemetry={"tracing": False})
    inner.add_middleware(FinancialSentryMiddleware)

    @inner.get("/payments/{payment_id}")
    async def payment(payment_id: str) -> None:
        raise ValueError("x")

    app = Starlette(routes=[Mount("/inner", inner)])
    app.add_middleware(FinancialSentryMiddleware)
    app.add_middleware(FinancialSentryMiddleware)
    with pytest.raises(ValueError, match="x"):
        await request(traced(app, recording), path="/inner/payments/p-1")
    assert recording.error["mita.transaction.id"] == "p-1"
    assert recording.error["mita.operation"] == "payment_processing"


async def test_the_user_comes_from_starlettes_authentication(recording: Recording) -> None:
    class Backend(AuthenticationBackend):
        async def authenticate(self, conn: Any) -> Any:
            return (AuthCredentials(), SimpleUser("ada")) if "x-user" in conn.headers else None

    async def endpoint(incoming: Request) -> JSONResponse:
        with recording.tracer.start_as_current_span("query"):
            return JSONResponse({})

    app = Starlette(routes=[Route("/", endpoint)])
    app.add_middleware(FinancialSentryMiddleware)
    app.add_middleware(AuthenticationMiddleware, backend=Backend())
    await request(app, headers=[("x-user", "1")])
    await request(app)
    users = [(span.attributes or {}).get("user.id") for span in recording.spans]
    assert users == ["ada", None]


async def claims_of(incoming: Request) -> str:
    return str(incoming.state.claims["sub"])


@pytest.mark.parametrize(
    "find_user",
    [lambda incoming: incoming.state.claims["sub"], lambda incoming: incoming.state.claims, claims_of],
    ids=["a claim", "all claims", "a coroutine"],
)
async def test_the_user_comes_from_a_callable_after_verification(
    recording: Recording, find_user: Any
) -> None:
    def verify(incoming: Request) -> None:
        incoming.state.claims = {"sub": "u-5"}

    app = FastAPI(telemetry={"tracing": False})

    @app.get("/", dependencies=[Depends(verify)])
    async def endpoint() -> None:
        pass

    app.add_middleware(FinancialSentryMiddleware, user=find_user)
    await request(traced(app, recording))
    assert server_span(recording)["user.id"] == "u-5"


async def test_an_unverified_token_sets_no_user(recording: Recording) -> None:
    token = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."  # alg none, sub admin
    await request(
        traced(FinancialSentryMiddleware(bank(recording)), recording),
        path="/api/tagged",
        headers=[("authorization", f"Bearer {token}"), ("x-user-id", "admin"), ("baggage", "user.id=admin")],
    )
    assert "user.id" not in server_span(recording)


async def test_a_cleared_user_is_not_set_again(recording: Recording) -> None:
    from mita_otel import clear_user

    async def app(scope: Any, receive: Any, send: Any) -> None:
        clear_user()
        with recording.tracer.start_as_current_span("query"):
            pass

    await request(FinancialSentryMiddleware(app), state={"user": "u-1"})
    assert "user.id" not in leaf(recording)


async def test_the_transaction_of_an_operation_is_on_the_request_span(
    recording: Recording,
) -> None:
    await request(traced(FinancialSentryMiddleware(bank(recording)), recording), path="/api/transfer")
    assert server_span(recording)["mita.transaction.id"] == "tx-9"
    assert "user.id" not in server_span(recording), "an operation may be for somebody else"


class Hostile:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError("no")


@pytest.mark.parametrize(
    "more",
    [
        {"state": {"user": Hostile()}},
        {"user": Hostile()},
        {"state": None},
        {"headers": [(b"x-request-id", b"\xff\xfe")]},
        {"path": "/" + "a" * 100_000},
        {"client": None, "server": None},
        {"path_params": {"transaction_id": Hostile()}, "endpoint": object(), "route": Hostile()},
    ],
    ids=lambda more: next(iter(more)),
)
async def test_a_malformed_scope_does_not_break_the_request(
    recording: Recording, more: dict[str, Any]
) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with recording.tracer.start_as_current_span("query"):
            await JSONResponse({"served": True})(scope, receive, send)

    scope = {**http_scope(), **more}
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        return {"type": "http.request", "body": b""}

    await FinancialSentryMiddleware(app, user=lambda incoming: incoming.state.nothing)(scope, receive, send)
    assert sent[0]["status"] == 200


async def test_without_configuration_the_middleware_does_nothing() -> None:
    before = context.get_current()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert context.get_current() is before
        assert "mita_otel.request" not in scope
        await JSONResponse({})(scope, receive, send)

    answer = await request(FinancialSentryMiddleware(app))
    assert "x-request-id" not in answer.headers


async def test_a_bare_asgi_application_is_supported(recording: Recording) -> None:
    """A bare ASGI application, and a user callable that receives the connection."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 204})
        await send({"type": "http.response.body"})

    answer = await request(FinancialSentryMiddleware(app, user=lambda incoming: incoming.headers["host"]))
    assert answer.status == 204
    assert "x-request-id" in answer.headers


@pytest.mark.skipif(not has_native_telemetry(FastAPI), reason="this FastAPI has no telemetry")
async def test_the_middleware_works_with_fastapis_telemetry(recording: Recording) -> None:
    app = FastAPI(telemetry={"tracer_provider": recording.tracer_provider, "metrics": False, "logs": False})
    app.add_middleware(FinancialSentryMiddleware)
    router_calls: list[str] = []

    def user(incoming: Request) -> str:
        set_financial_user("u-1")
        return "u-1"

    router = APIRouter(prefix="/payments")

    @router.get("/{payment_id}")
    async def payment(payment_id: str, user_id: str = Depends(user)) -> None:
        router_calls.append(user_id)
        with recording.tracer.start_as_current_span("query"):
            pass
        raise ValueError("x")

    app.include_router(router, prefix="/api", tags=["financial_analysis"])
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://bank.example") as client:
        answer = await client.get("/api/payments/p-1")
    assert answer.status_code == 500
    server = server_span(recording)
    assert server["http.route"] == "/api/payments/{payment_id}"
    assert server["mita.operation.part_of"] == "financial_analysis", "the tag of the router that includes it"
    assert server["user.id"] == leaf(recording)["user.id"] == "u-1", (
        "set in a dependency's span, known after it"
    )
    assert server["mita.transaction.id"] == "p-1"
    assert recording.error["mita.contexts"]["request"]["route"] == "/api/payments/{payment_id}"
