"""Unhandled exceptions as span events, where FastAPI's own telemetry leaves only their type.

The contrib instrumentation records them; with this one sees the same on either.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry import trace

from mita_otel import semconv


def record_unhandled_exceptions() -> None:
    """Record what leaves a Starlette application's handlers on the current span, before the response ends it.

    Takes effect when starlette is imported, at once if it has been.
    """

    def patch(module: Any) -> None:
        wrapt.wrap_function_wrapper(module, "ExceptionMiddleware.__call__", call)

    def call(
        wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        return _recorded(wrapped, args, kwargs)

    wrapt.register_post_import_hook(patch, "starlette.middleware.exceptions")


async def _recorded(wrapped: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        await wrapped(*args, **kwargs)
    except Exception as error:
        span = trace.get_current_span()
        # A mounted application has handlers of its own: the exception comes by twice.
        seen = any(event.name == semconv.EXCEPTION_EVENT for event in getattr(span, "events", ()))
        if span.is_recording() and not seen:
            span.record_exception(error)
        raise
