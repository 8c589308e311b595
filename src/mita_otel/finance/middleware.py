"""The ASGI middleware: context, error capture, audit of access and response headers of each request.

Its hooks add the context to spans that start, and capture exceptions that a framework handles itself.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import context, trace
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.capture import Category, ErrorReport, capture
from mita_otel.finance.categories import name_of
from mita_otel.finance.contexts import with_baggage
from mita_otel.finance.facts import (
    enter_request,
    known_attributes,
    known_facts,
    leave_request,
    local_facts,
    with_facts,
)
from mita_otel.finance.operation import outcome_of
from mita_otel.finance.request import (
    SCOPE_KEY,
    BodyWatcher,
    Message,
    Receive,
    RequestState,
    Scope,
    is_json,
    request_state,
)
from mita_otel.finance.runtime import FinanceRuntime, running

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import Span

Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
FindUser = Callable[[Any], object]
"""Takes the request; returns the user (an id, verified claims, an object, a `UserContext`), None, or an awaitable
of one."""

_logger = logging.getLogger("mita_otel.finance")

_SERVED: Final = frozenset({"http", "websocket"})
_NOTED: Final = "mita_otel.noted_headers"
"""Holds the headers of a failed request in its ASGI scope, for the response that an outer middleware writes."""
_DATA_ACCESS: Final = "data_access"
_REFUSED: Final = frozenset({401, 403})
_FAILED_FROM: Final = 400


class FinancialSentryMiddleware:
    """Adds operation, user, transaction and request id to all spans, log records and errors of a request.

    Unhandled errors are captured once, with the category of the operation. Streaming, websockets, background tasks
    and the application's context are not affected. The order among other middleware does not matter. Without
    `mita_otel.configure()` it does nothing.

    The user comes from `request.state` or `request.user`, where the service's authentication sets it, or from the
    callable. Tokens in headers are never read, because they are not verified.

    Args:
        app: The application.
        user: Returns the user of a request; called at its start and again before the response.

    Example:
        >>> app.add_middleware(FinancialSentryMiddleware, user=lambda request: request.state.claims["sub"])
    """

    def __init__(self, app: ASGIApp, user: FindUser | None = None) -> None:
        self.app = app
        self._user = user

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a connection."""
        runtime = running()
        if runtime is None or scope["type"] not in _SERVED or request_state(scope) is not None:
            await self.app(scope, receive, send)
            return
        state = runtime.guard("FinancialSentryMiddleware", RequestState, scope, runtime)
        if state is None:
            await self.app(scope, receive, send)
            return
        await _Served(runtime, state, self._user).run(self.app, scope, receive, send)


class _Served:
    """One connection."""

    def __init__(self, runtime: FinanceRuntime, state: RequestState, find_user: FindUser | None) -> None:
        self._runtime = runtime
        self._state = state
        self._find_user = find_user
        self._policy = runtime.policy.request

    async def run(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        scope[SCOPE_KEY] = self._state
        known = with_baggage(self._state.facts, with_facts(self._state.alone), self._runtime.policy.baggage)
        token = context.attach(known)
        request_token = enter_request(self._state)
        try:
            await self._see_user()
            await app(scope, self._watched(receive), self._sending(send))
        except Exception as error:
            await self._see_user()
            self._mark(settle=True)
            self._runtime.guard("FinancialSentryMiddleware", self._capture, error)
            scope[_NOTED] = self._runtime.guard("FinancialSentryMiddleware", self._headers)
            raise
        finally:
            self._mark()
            leave_request(request_token)
            context.detach(token)
            scope.pop(
                SCOPE_KEY, None
            )  # a reference cycle, which would live until the next garbage collection

    def _capture(self, error: Exception) -> None:
        if outcome_of(error, self._runtime) == "failure":
            capture(ErrorReport(exception=error, handled=False), self._runtime)

    def _watched(self, receive: Receive) -> Receive:
        state, policy = self._state, self._policy
        wanted = policy.max_body > 0 and policy.transaction_keys and state.facts.transaction is None
        if not wanted or not is_json(state.method, state.header("content-type")):
            return receive
        return BodyWatcher(receive, policy.transaction_keys, policy.max_body, state.see_transaction)

    def _sending(self, send: Send) -> Send:
        async def send_known(message: Message) -> None:
            if message["type"] == "http.response.start":
                await self._see_user()
                self._mark(settle=True)
                headers = self._runtime.guard("FinancialSentryMiddleware", self._headers) or ()
                _add_missing(message, headers)
                await audit_access(self._runtime, self._state, message["status"])
            elif message["type"] == "http.response.body" and not message.get("more_body", False):
                self._mark()
            await send(message)

        return send_known

    def _mark(self, *, settle: bool = False) -> None:
        if settle:
            self._runtime.guard("FinancialSentryMiddleware", self._state.settle)
        self._runtime.guard("FinancialSentryMiddleware", self._state.mark_span)

    async def _see_user(self) -> None:
        if self._find_user is None or self._state.facts.user is not None:
            return
        try:
            found = self._find_user(self._request())
            self._state.see_user(await found if inspect.isawaitable(found) else found)
        except Exception:
            # Code of the service: perhaps the user has not logged in yet.
            _logger.debug("the callable that finds the user of a request failed", exc_info=True)

    def _request(self) -> Any:
        """Return the Starlette request, or the ASGI scope without Starlette."""
        try:
            from starlette.requests import HTTPConnection, Request
        except ImportError:
            return self._state.scope
        scope = self._state.scope
        return Request(scope) if scope["type"] == "http" else HTTPConnection(scope)

    def _headers(self) -> list[tuple[bytes, bytes]]:
        """Return the headers of a response: the request's id and the trace, as far as the policy says so."""
        added: list[tuple[bytes, bytes]] = []
        if self._policy.respond_id and self._state.facts.request_id:
            added.append((self._policy.id_header.encode(), self._state.facts.request_id.encode("latin-1")))
        if self._policy.respond_trace:
            span = self._state.server_span or trace.get_current_span()
            known = span.get_span_context()
            if known.is_valid:
                ids = f"{format_trace_id(known.trace_id)}-{format_span_id(known.span_id)}"
                added.append((b"traceresponse", f"00-{ids}-{known.trace_flags:02x}".encode()))
        return added


def complete_failure(scope: Scope, message: Message) -> None:
    """Add the request's id and the trace to the response for an exception that nothing in the application handles.

    The outermost middleware of Starlette writes that response. No other middleware sees it.

    Args:
        scope: The ASGI scope of the request.
        message: The start of the response.
    """
    noted = scope.pop(_NOTED, None)
    if noted:
        _add_missing(message, noted)


def _add_missing(message: Message, headers: Iterable[tuple[bytes, bytes]]) -> None:
    present = list(message.get("headers") or ())
    names = {bytes(name).lower() for name, _ in present}
    message["headers"] = [*present, *((name, value) for name, value in headers if name not in names)]


def request_operation(name: str, category: Category | None = None) -> Callable[[], Awaitable[None]]:
    """Return a FastAPI dependency that names the operation of a route.

    Args:
        name: For example `payment_processing`. Takes precedence over the policy's routes and the route's tags.
        category: None: chosen by the policy's tables.

    Example:
        >>> @app.post("/pay", dependencies=[Depends(request_operation("payment_processing"))])
        ... async def pay() -> None: ...
    """

    async def name_the_operation() -> None:
        shared = local_facts().shared
        if isinstance(shared, RequestState):
            shared.name_operation(name, name_of(category))

    return name_the_operation


async def audit_access(runtime: FinanceRuntime, state: RequestState, status: int) -> None:
    """Record a request in PCI scope, if the audit trail wants it.

    The trail waits for the disk, so a thread does it while the event loop serves other requests.

    Args:
        runtime: The configured instance.
        state: The request.
        status: The status of the response.
    """
    if not state.facts.pci or not runtime.wants_access():
        return
    span = state.server_span or trace.get_current_span()
    record = partial(
        notify_audit,
        runtime,
        known_facts(),
        span.get_span_context(),
        kind="custom",
        name=_DATA_ACCESS,
        outcome="refused" if status in _REFUSED else "failure" if status >= _FAILED_FROM else "success",
        details={"method": state.method, "route": state.route, "status": status},
    )
    try:
        asyncio.get_running_loop()
    except RuntimeError:  # not asyncio's event loop
        record()
        return
    await asyncio.to_thread(record)


def enrich_span(span: Span) -> None:
    """Add the known facts to a span that starts. Cheap if there are none."""
    attributes = known_attributes()
    if not attributes:
        return
    span.set_attributes(attributes)
    if span.kind is SpanKind.SERVER:
        shared = local_facts().shared
        if shared is not None and shared.server_span is None:
            shared.server_span = span  # the instrumentation is inside the middleware


def capture_from_request(error: Exception, handled: bool) -> None:
    """Capture an exception that a framework handled or let through, if the middleware serves the request."""
    runtime = running()
    if runtime is None or local_facts().shared is None:
        return
    if runtime.guard("capturing an error of a request", outcome_of, error, runtime) == "failure":
        report = ErrorReport(exception=error, handled=handled)
        runtime.guard("capturing an error of a request", capture, report, runtime)
