"""Errors of a request: on its span, in the log, and with what is known of the request.

FastAPI's own telemetry leaves only an unhandled exception's type on the span, and a log record; the contrib
instrumentation records it on the span and logs nothing. With this one sees the same on either. An HTTP exception
that a handler turned into a 5xx answer is an error too: neither of them reports it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, MutableMapping
from typing import Any

import wrapt
from opentelemetry import _logs, trace
from opentelemetry._logs import SeverityNumber

from mita_otel import semconv
from mita_otel.captured import event_id_of, remember_request, request_of
from mita_otel.instrumentation.asgi import request_facts
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy.runtime import InstrumentationPolicy

Capture = Callable[[Exception, bool], object]


class ErrorReports:
    """Reports a Starlette application's errors, before the response ends the request's span.

    Args:
        policy: Which answers are errors, and whether the request's body belongs to the report.
        native: Whether FastAPI's own telemetry makes the spans and logs unhandled exceptions.
        capture: Takes an error first, and whether it was handled; marks it if it reports it with what it knows.
    """

    def __init__(
        self, policy: InstrumentationPolicy, *, native: bool, capture: Capture | None = None
    ) -> None:
        self._policy = policy
        self._capture = capture
        self._native = native
        self._is_active: Callable[[], bool] = lambda: True
        self._failed = frozenset(
            code for first, last in policy.failed_ranges() for code in range(first, last + 1)
        )

    def install(self, patches: Patches) -> None:
        """Report from now on, once starlette is imported."""
        self._is_active = lambda: patches.active

        def patch(module: Any) -> None:
            patches.wrap(module, "ExceptionMiddleware.__init__", self._init)
            patches.wrap(module, "ExceptionMiddleware.__call__", self._call)

        patches.on_import("starlette.middleware.exceptions", patch)

    def _init(
        self, wrapped: Callable[..., None], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        wrapped(*args, **kwargs)
        handlers = getattr(instance, "_exception_handlers", None)
        if isinstance(handlers, MutableMapping) and self._failed:
            for kind, handler in list(handlers.items()):
                handlers[kind] = wrapt.FunctionWrapper(handler, self._handle, enabled=self._is_active)

    def _handle(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        error = next((one for one in args if isinstance(one, Exception)), None)
        if error is not None and getattr(error, "status_code", None) in self._failed:
            scope = getattr(args[0], "scope", None)
            if request_of(error) is None:
                self._remember(error, scope)
                if not self._is_captured(error, handled=True):
                    _log(error, handled=True, body="HTTP exception with a server error's status")
        return wrapped(*args, **kwargs)

    def _call(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return self._reported(wrapped, args, kwargs)

    async def _reported(
        self, wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        try:
            await wrapped(*args, **kwargs)
        except Exception as error:
            # A mounted application has its own handlers: the exception passes twice.
            if request_of(error) is None:
                scope = args[0] if args else kwargs.get("scope")
                self._remember(error, scope)
                captured = self._is_captured(error, handled=False)
                if self._native and _is_native(scope):
                    _record(error)
                elif not captured:
                    _log(error, handled=False, body="Unhandled exception in FastAPI request")
            raise

    def _is_captured(self, error: Exception, *, handled: bool) -> bool:
        if self._capture is not None:
            self._capture(error, handled)
        return event_id_of(error) is not None

    def _remember(self, error: Exception, scope: Any) -> None:
        facts = request_facts(scope) if isinstance(scope, dict) else {}
        body = _body() if self._native and self._policy.error_request_body else None
        remember_request(error, {**facts, "data": body} if body is not None else facts)


def _is_native(scope: Any) -> bool:
    """Return whether FastAPI's own telemetry measures a request. It leaves applications to the contrib package."""
    return not isinstance(scope, dict) or "fastapi.telemetry" in scope


def _record(error: Exception) -> None:
    span = trace.get_current_span()
    if span.is_recording():
        span.record_exception(error)


def _log(error: Exception, *, handled: bool, body: str) -> None:
    # Name and severity as FastAPI's own telemetry emits them (semantic conventions: exceptions in logs).
    attributes = getattr(trace.get_current_span(), "attributes", None) or {}
    route = attributes.get(semconv.HTTP_ROUTE[0])
    _logs.get_logger("mita_otel.instrumentation.fastapi").emit(
        exception=error,
        event_name="http.server.request.exception",
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        body=body,
        attributes={semconv.HANDLED: handled, **({semconv.HTTP_ROUTE[0]: route} if route else {})},
    )


def _body() -> Any:
    """Return the request's body as FastAPI read it, or None."""
    from fastapi.telemetry import get_telemetry_data

    data = get_telemetry_data()
    return data.body if data is not None else None
