"""`monitor_api_request`: measures a request once, also beside other instrumentation."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Token
from types import TracebackType
from typing import Any, Self

from opentelemetry import context, trace
from opentelemetry.context import Context
from opentelemetry.trace import SpanKind, Status, StatusCode

from mita_otel import semconv
from mita_otel.finance.capture import ErrorReport, capture, message_of, same_user
from mita_otel.finance.facts import known_facts, with_facts
from mita_otel.finance.operation import outcome_of
from mita_otel.finance.operation_span import OperationSpan
from mita_otel.finance.request import SCOPE_KEY, RequestState, request_state, scope_of
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.user import UserId


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
