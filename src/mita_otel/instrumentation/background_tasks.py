"""Background tasks: a span for each, where FastAPI's own telemetry would leave it out with the other operation spans.

Dependencies and serialisation are parts of a request, which has a limit of its own; a background task runs when the
request is over, and nothing else would measure it. The span is named as FastAPI's and the contrib package's are, so
that limits and exporters know it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.trace import Status, StatusCode

from mita_otel import semconv
from mita_otel.instrumentation.patches import Patches

SPAN_NAME: Final = "fastapi.background_task"


class BackgroundTaskSpans:
    """Measures the background tasks of requests that are measured.

    Args:
        tracer: Makes the spans. None: one of the global provider.
    """

    def __init__(self, tracer: trace.Tracer | None = None) -> None:
        self._tracer = tracer or trace.get_tracer("mita_otel.instrumentation.fastapi")

    def install(self, patches: Patches) -> None:
        """Measure from now on, once starlette is imported."""
        patches.on_import(
            "starlette.background",
            lambda module: patches.wrap(module, "BackgroundTask.__call__", self._call),
        )

    def _call(
        self, wrapped: Callable[..., Any], instance: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        current = trace.get_current_span()
        is_measured = getattr(current, "name", None) == SPAN_NAME  # the application asked for operation spans
        if is_measured or not current.get_span_context().is_valid:
            return wrapped(*args, **kwargs)
        return self._measured(wrapped, getattr(instance, "func", None), args, kwargs)

    async def _measured(
        self, wrapped: Callable[..., Any], function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        with self._tracer.start_as_current_span(
            SPAN_NAME,
            attributes={"code.function.name": _name_of(function)},
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                await wrapped(*args, **kwargs)
            except Exception as error:
                # As FastAPI does it; the exception itself is reported where it leaves the application.
                span.set_attribute(semconv.ERROR_TYPE, _name_of(type(error)).removeprefix("builtins."))
                span.set_status(Status(StatusCode.ERROR))
                raise


def _name_of(function: Any) -> str:
    module = getattr(function, "__module__", type(function).__module__)
    return f"{module}.{getattr(function, '__qualname__', type(function).__qualname__)}"
