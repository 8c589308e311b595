"""Measures by hand what no instrumentation covers: a statement (a driver without one, a stored procedure), a request.

A request that another instrumentation measures already is not measured twice.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, ParamSpec, Self, TypeVar

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from mita_otel import semconv
from mita_otel.finance.attribute_values import attribute_mapping
from mita_otel.finance.capture import ErrorReport, capture, message_of, same_user
from mita_otel.finance.decorator import decorate
from mita_otel.finance.facts import known_facts, with_facts
from mita_otel.finance.operation import leave, outcome_of
from mita_otel.finance.operation_span import OperationSpan
from mita_otel.finance.request import SCOPE_KEY, RequestState, request_state, scope_of
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.user import UserId

P = ParamSpec("P")
R = TypeVar("R")


class DatabaseOperation(OperationSpan):
    """A context manager for `with` and `async with`, and a decorator of functions and coroutines.

    Its span is a database client's, so the limits of `thresholds.database` apply. An exception marks the span and
    propagates; the handler of the request reports it.

    Args:
        operation: The statement's verb, for example `SELECT`, or a procedure's name.
        table: The table, for limits such as `payments.SELECT`.
        system: The database in OpenTelemetry's conventions, for example `postgresql`.
        statement: The statement. Its literals are redacted.
        data: Further data for the span.
    """

    def __init__(
        self,
        operation: str,
        table: str | None,
        system: str,
        statement: str | None,
        data: Mapping[str, Any] | None,
    ) -> None:
        super().__init__()
        self._operation = operation
        self._table = table
        self._system = system
        self._statement = statement
        self._data = data
        self._inside: Context | None = None
        self._token: Token[Context] | None = None

    def __enter__(self) -> Self:
        runtime = running()
        if runtime is not None:
            self._runtime = runtime
            runtime.guard("the start of a database operation", self._begin, runtime)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        runtime, self._runtime = self._runtime, None
        if runtime is not None:
            runtime.guard("the end of a database operation", self._finish, error)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace_back)

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function that measures each call."""
        return decorate(
            function,
            lambda arguments: DatabaseOperation(
                self._operation, self._table, self._system, self._statement, self._data
            ),
        )

    def resume(self) -> None:
        """Make its span current again, at each step of a generator."""
        if self._inside is not None and self._token is None:
            self._token = context.attach(self._inside)

    def suspend(self) -> None:
        """Restore the span that was current before."""
        if self._token is not None:
            leave(self._token)
            self._token = None

    def _begin(self, runtime: FinanceRuntime) -> None:
        name = " ".join(part for part in (self._operation, self._table) if part)
        attributes: dict[str, Any] = {
            semconv.DB_SYSTEM[0]: self._system,
            semconv.DB_OPERATION[0]: self._operation,
        }
        if self._table:
            attributes[semconv.DB_COLLECTION[0]] = self._table
        if self._statement:
            attributes[semconv.DB_STATEMENT[0]] = self._statement
        for key, value in attribute_mapping(self._data, runtime.policy.context).items():
            attributes[f"{semconv.OPERATION_DATA}.{key}"] = value
        self._span = runtime.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        self._inside = trace.set_span_in_context(self._span)
        self.resume()

    def _finish(self, error: BaseException | None) -> None:
        if error is not None and self._span.is_recording():
            self._span.set_attribute(semconv.ERROR_TYPE, type(error).__qualname__)
            if isinstance(error, Exception):
                self._span.set_status(Status(StatusCode.ERROR, str(error)))
        self._span.end()
        self.suspend()


def monitor_database_operation(
    operation: str,
    table: str | None = None,
    *,
    system: str = "other_sql",
    statement: str | None = None,
    additional_context: Mapping[str, Any] | None = None,
) -> DatabaseOperation:
    """Measure a database operation that no instrumentation covers, against the limit of its verb and table.

    SQLAlchemy's statements are measured automatically.

    Args:
        operation: The statement's verb, for example `SELECT`.
        table: The table.
        system: The database in OpenTelemetry's conventions.
        statement: The statement. Its literals are redacted.
        additional_context: Further data for the span.

    Example:
        >>> async with monitor_database_operation("SELECT", "payments", system="postgresql") as query:
        ...     rows = await connection.fetch(...)
        ...     query.set_data("rows", len(rows))
    """
    return DatabaseOperation(operation, table, system, statement, additional_context)


class ApiRequest(OperationSpan):
    """A monitored request; a context manager for `with` and `async with`.

    If the request already has a span (from FastAPI, an instrumentation, or an outer `monitor_api_request`), it is
    used, so that the request is not measured twice. Otherwise this starts the SERVER span.
    """

    def __init__(
        self, request: object, user_id: UserId | None, additional_context: Mapping[str, Any] | None
    ) -> None:
        super().__init__()
        self._request = request
        self._user_id = user_id
        self._data = additional_context if isinstance(additional_context, Mapping) else {}
        self._token: Token[Context] | None = None
        self._own = False

    def __enter__(self) -> Self:
        runtime = running()
        if runtime is not None:
            self._runtime = runtime
            runtime.guard("monitor_api_request", self._begin, runtime)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        runtime = self._runtime
        if runtime is not None:
            runtime.guard("monitor_api_request", self._finish, runtime, error)
            self._runtime = None
            if self._token is not None:
                context.detach(self._token)

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace_back: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace_back)

    def _begin(self, runtime: FinanceRuntime) -> None:
        scope = scope_of(self._request)
        if scope is None:
            return
        state = request_state(scope)
        if state is None:
            state = scope[SCOPE_KEY] = RequestState(scope, runtime)
            self._token = context.attach(with_facts(state.alone))
        state.look()
        if self._user_id is not None:
            state.know(user=same_user(state.facts.user, self._user_id))
        current = trace.get_current_span()
        if state.server_span is not None:
            self._span = state.server_span
        elif current.is_recording():
            self._span = current
        else:
            self._measure(state, runtime)
        state.mark_span()
        for key, value in self._data.items():
            self.set_data(key, value)

    def _measure(self, state: RequestState, runtime: FinanceRuntime) -> None:
        route = state.route
        attributes: dict[str, Any] = {
            semconv.HTTP_METHOD[0]: state.method,
            semconv.HTTP_PATH[0]: state.path,
            semconv.HTTP_SCHEME[0]: str(state.scope.get("scheme", "http")),
        }
        if route is not None:
            attributes[semconv.HTTP_ROUTE[0]] = route
        name = f"{state.method} {route}" if route else state.method
        self._span = state.server_span = runtime.tracer.start_span(
            name, kind=SpanKind.SERVER, attributes=attributes
        )
        self._own = True
        token = context.attach(trace.set_span_in_context(self._span))
        self._token = self._token or token

    def _finish(self, runtime: FinanceRuntime, error: BaseException | None) -> None:
        try:
            outcome = outcome_of(error, runtime)
            if outcome == "failure" and error is not None:
                if self._own:
                    runtime.guard("recording an exception", self._span.record_exception, error)
                    self._span.set_status(Status(StatusCode.ERROR, message_of(error)))
                capture(ErrorReport(exception=error, handled=False), runtime)
            shared = known_facts().shared
            if isinstance(shared, RequestState):
                shared.mark_span()
        finally:
            if self._own:
                self._span.end()


def monitor_api_request(
    request: object,
    user_id: UserId | None = None,
    additional_context: Mapping[str, Any] | None = None,
) -> ApiRequest:
    """Monitor a request: its limit applies, and its errors are captured. It is never counted twice.

    Args:
        request: A Starlette or FastAPI request, or an ASGI scope.
        user_id: The user, if known.
        additional_context: Further data for the request's span.

    Returns:
        A context manager (`with` or `async with`) with `set_data`, `set_tag` and `set_result`.

    Example:
        >>> async with monitor_api_request(request, user_id=user.id) as monitored:
        ...     monitored.set_data("items", len(items))
    """
    return ApiRequest(request, user_id, additional_context)
