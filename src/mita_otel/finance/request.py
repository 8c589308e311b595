"""The facts of an HTTP request or websocket, read from its ASGI scope as they become available."""

from __future__ import annotations

import re
import secrets
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from typing import Any, Final

import orjson
from opentelemetry import trace
from opentelemetry.trace import SpanKind

from mita_otel import semconv
from mita_otel.finance.facts import NO_FACTS, Facts, RequestFacts
from mita_otel.finance.runtime import FinanceRuntime
from mita_otel.finance.transaction import FinancialContext, TransactionId
from mita_otel.finance.user import user_of

Scope = MutableMapping[str, Any]
"""An ASGI connection scope."""

SCOPE_KEY: Final = "mita_otel.request"
"""Key of the `RequestState` in the scope."""
OPENAPI_OPERATION: Final = "x-mita-operation"
"""Key of a route's `openapi_extra` that names its operation."""
OPENAPI_CATEGORY: Final = "x-mita-category"

_ID: Final = re.compile(r"[\w.:/+=@-]{1,128}\Z", re.ASCII)
_MAX_PATH: Final = 2048


class RequestState(RequestFacts):
    """The facts of one request, shared by all its tasks and threads.

    Route, path parameters and user become available while the request is served. `look` reads them when a span, a
    log record or an error starts.

    Args:
        scope: The ASGI scope.
        runtime: The configured instance.
    """

    def __init__(self, scope: Scope, runtime: FinanceRuntime) -> None:
        self.scope = scope
        self.method = str(scope.get("method", "WS" if scope.get("type") == "websocket" else ""))
        self._runtime = runtime
        self._policy = runtime.policy.request
        self._started = runtime.clock()
        self._endpoint: object = None
        self._named = False
        self._user_named = False
        self._marked: Facts | None = None
        facts = NO_FACTS.replace(
            request_id=self._request_id(), transaction=_transaction(self._given_transaction())
        )
        span = trace.get_current_span()
        serves = span.is_recording() and getattr(span, "kind", None) is SpanKind.SERVER
        super().__init__(facts, runtime.policy.breadcrumbs.max_kept, span if serves else None)

    @property
    def path(self) -> str:
        """The raw path. It varies and may contain secrets, so it is never used as a name."""
        return str(self.scope.get("path", ""))[:_MAX_PATH]

    @property
    def route(self) -> str | None:
        """The route's template, from the request's span or the framework. None: not known yet."""
        attributes = getattr(self.server_span, "attributes", None) or {}
        from_span = semconv.first(attributes, semconv.HTTP_ROUTE)
        if from_span:
            return str(from_span)
        path = getattr(_route_of(self.scope), "path", None)
        return f"{self.scope.get('root_path', '')}{path}" if isinstance(path, str) else None

    def know(self, **news: Any) -> None:
        """Add facts. After the application sets or clears the user, it is not looked up any more."""
        self._user_named = self._user_named or "user" in news
        super().know(**news)

    def look(self) -> None:
        """Read the route and the user."""
        endpoint = self.scope.get("endpoint")
        if endpoint is not self._endpoint:  # first that of a mount, then that of the route inside
            self._endpoint = endpoint
            self._runtime.guard("reading a request's route", self._see_route)
        if not self._user_named:
            self._runtime.guard("reading a request's user", self._see_user)

    def settle(self) -> None:
        """Use the path if there is no route: the application has no routes, or none matches."""
        self.look()
        if self._named or self.facts.operation is not None or self.route is not None:
            return
        operations = self._runtime.operations
        operation, pci = operations.of_path(self.method, self.path), operations.handles_cards(self.path)
        if operation is not None or pci:
            self.know(operation=operation, category=operations.category(operation), pci=pci or None)

    def see_transaction(self, transaction_id: TransactionId | None) -> None:
        """Set the transaction unless it is known."""
        if self.facts.transaction is None and transaction_id is not None:
            self.know(transaction=_transaction(transaction_id))

    def see_user(self, user: object) -> None:
        """Set the user unless it is known, as found by the service's code after it verified a token."""
        if not self._user_named:
            found = user_of(user, self._policy.user_id_fields)
            if found is not None:
                self.know(user=found)

    def name_operation(self, operation: str, category: str | None) -> None:
        """Set the operation by the application's choice, which takes precedence over the policy's tables."""
        self._named = True
        self.know(operation=operation, category=category or self._runtime.operations.category(operation))

    def mark_span(self) -> None:
        """Add the known facts to the request's span."""
        self.look()
        span, facts = self.server_span, self.facts
        if span is None or facts is self._marked or not span.is_recording():
            return
        self._marked = facts
        span.set_attributes(facts.attributes)
        if facts.category is not None:
            span.set_attribute(semconv.OPERATION_CATEGORY, facts.category)

    def header(self, name: str) -> str | None:
        """Return a header of the request by lower-case name."""
        return _header(self.scope, name)

    def request_context(self) -> dict[str, Any]:
        """Return the request context of errors: method, route, URL, selected headers and client address."""
        client = self.scope.get("client")
        server = _header(self.scope, "host") or ":".join(str(part) for part in self.scope.get("server") or ())
        query = bytes(self.scope.get("query_string", b"")).decode("latin-1")
        headers = {name: _header(self.scope, name) for name in self._policy.context_headers}
        shown = {
            "method": self.method,
            "route": self.route,
            "url": f"{self.scope.get('scheme', 'http')}://{server}{self.path}",
            "query_string": query[:_MAX_PATH] or None,
            "headers": {name: value for name, value in headers.items() if value is not None},
            "request_id": self.facts.request_id,
            "client_address": client[0] if client else None,
        }
        return {name: value for name, value in shown.items() if value}

    def performance(self) -> dict[str, Any]:
        """Return the duration of the request so far, in milliseconds."""
        return {"request_ms": round((self._runtime.clock() - self._started) * 1000, 3)}

    def _see_route(self) -> None:
        route, operations = _route_of(self.scope), self._runtime.operations
        template = self.route
        news: dict[str, Any] = {}
        if template and operations.handles_cards(template):
            news["pci"] = True
        parameters: Mapping[str, Any] = self.scope.get("path_params") or {}
        given = (parameters.get(name) for name in self._policy.transaction_parameters)
        transaction_id = next((value for value in given if value is not None), None)
        if transaction_id is not None and self.facts.transaction is None:
            news["transaction"] = _transaction(transaction_id)
        extra = getattr(route, "openapi_extra", None) or {}
        named = extra.get(OPENAPI_OPERATION) or operations.of_tags(getattr(route, "tags", None) or ())
        if not self._named and (named or template):
            operation = str(named) if named else operations.of_route(self.method, template or "")
            category = extra.get(OPENAPI_CATEGORY) if named else None
            news.update(operation=operation, category=category or operations.category(operation))
            self._named = bool(named)
        if self.facts.operation is not None or any(value is not None for value in news.values()):
            self.know(**news)

    def _see_user(self) -> None:
        """Read the user where a framework's authentication sets it. Tokens are never read."""
        state: Mapping[str, Any] = self.scope.get("state") or {}
        for name in self._policy.user_state:
            if state.get(name) is not None:
                self.see_user(state[name])
        if not self._user_named and self.scope.get("user") is not None:
            self.see_user(self.scope["user"])

    def _request_id(self) -> str:
        given = _header(self.scope, self._policy.id_header)
        return given if given and _ID.match(given) else secrets.token_hex(16)

    def _given_transaction(self) -> str | None:
        given = (_header(self.scope, name) for name in self._policy.transaction_headers)
        return next((value for value in given if value and _ID.match(value)), None)


def request_state(scope: Scope) -> RequestState | None:
    """Return the state of a request that the middleware serves."""
    state = scope.get(SCOPE_KEY)
    return state if isinstance(state, RequestState) else None


def scope_of(request: object) -> Scope | None:
    """Return the ASGI scope of a request: a Starlette `Request`, or a scope itself."""
    scope = request if isinstance(request, MutableMapping) else getattr(request, "scope", None)
    return scope if isinstance(scope, MutableMapping) else None


def _transaction(transaction_id: TransactionId | None) -> FinancialContext | None:
    return None if transaction_id is None else FinancialContext(transaction_id=transaction_id)


def _header(scope: Scope, name: str) -> str | None:
    wanted = name.encode("latin-1")
    for key, value in scope.get("headers") or ():
        if key == wanted:
            return bytes(value).decode("latin-1")
    return None


def _route_of(scope: Scope) -> object:
    """Return the matched route; with FastAPI, including the prefix and tags of its routers."""
    framework = scope.get("fastapi")
    effective = framework.get("effective_route_context") if isinstance(framework, Mapping) else None
    return effective or scope.get("route")


Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class BodyWatcher:
    """Inspects a body while the application reads it.

    Args:
        receive: The ASGI receive callable.
        keys: Top-level keys that contain the id.
        max_body: Maximum bytes; a longer body is not inspected.
        found: Called with the id.
    """

    def __init__(
        self, receive: Receive, keys: Sequence[str], max_body: int, found: Callable[[str | int], None]
    ) -> None:
        self._receive = receive
        self._keys = keys
        self._max_body = max_body
        self._found = found
        self._parts: list[bytes] | None = []
        self._size = 0

    async def __call__(self) -> Message:
        """Return the next message unchanged."""
        message = await self._receive()
        if self._parts is not None and message["type"] == "http.request":
            self._look(message)
        return message

    def _look(self, message: Message) -> None:
        parts, body = self._parts, message.get("body", b"")
        if parts is None:
            return
        self._size += len(body)
        if self._size > self._max_body:
            self._parts = None
            return
        parts.append(body)
        if message.get("more_body", False):
            return
        self._parts = None
        self._read(b"".join(parts))

    def _read(self, body: bytes) -> None:
        if not any(key.encode() in body for key in self._keys):
            return
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if isinstance(document, dict):
            for key in self._keys:
                value = document.get(key)
                if isinstance(value, str | int) and not isinstance(value, bool):
                    self._found(value)
                    return


def is_json(method: str, content_type: str | None) -> bool:
    """Return whether a request may have a JSON body."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return method in _METHODS and (kind == "application/json" or kind.endswith("+json"))
