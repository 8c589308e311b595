"""Unhandled exceptions of a request: on its span, in the log, and with what is known of the request.

FastAPI's own telemetry leaves only their type on the span and a log record; the contrib instrumentation records
them on the span and logs nothing. With this one sees the same on either.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry import _logs, trace
from opentelemetry._logs import SeverityNumber

from mita_otel import semconv
from mita_otel.captured import remember_request, request_of
from mita_otel.instrumentation.request_facts import request_facts


def report_unhandled_exceptions(*, native: bool) -> None:
    """Report what leaves a Starlette application's handlers, before the response ends the request's span.

    Takes effect when starlette is imported, at once if it has been.

    Args:
        native: Whether FastAPI's own telemetry makes the spans: it leaves a log record and no span event. The
            contrib instrumentation leaves a span event and no log record.
    """

    def patch(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "ExceptionMiddleware.__call__", call)

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return _reported(wrapped, args, kwargs, native)

    wrapt.register_post_import_hook(patch, "starlette.middleware.exceptions")


async def _reported(
    wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], native: bool
) -> None:
    try:
        await wrapped(*args, **kwargs)
    except Exception as error:
        # A mounted application has handlers of its own: the exception comes by twice.
        if request_of(error) is None:
            scope = args[0] if args else kwargs.get("scope")
            remember_request(error, request_facts(scope) if isinstance(scope, dict) else {})
            if native:
                _record(error)
            else:
                _log(error)
        raise


def _record(error: Exception) -> None:
    span = trace.get_current_span()
    if span.is_recording():
        span.record_exception(error)


def _log(error: Exception) -> None:
    # Name and severity as FastAPI's own telemetry emits them (semantic conventions: exceptions in logs).
    attributes = getattr(trace.get_current_span(), "attributes", None) or {}
    route = attributes.get(semconv.HTTP_ROUTE[0])
    _logs.get_logger("mita_otel.instrumentation.fastapi").emit(
        exception=error,
        event_name="http.server.request.exception",
        timestamp=time.time_ns(),
        severity_number=SeverityNumber.ERROR,
        severity_text="ERROR",
        body="Unhandled exception in FastAPI request",
        attributes={semconv.HTTP_ROUTE[0]: route} if route else None,
    )
