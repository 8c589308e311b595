"""The SQLAlchemy package of OpenTelemetry: its listeners of single engines, and its spans."""

from __future__ import annotations

from typing import Any

from opentelemetry.trace import TracerProvider as APITracerProvider


class EngineListeners:
    """Adds the listeners of OpenTelemetry's SQLAlchemy package to single engines, and removes them.

    The package itself does that only once a process, and removes the listeners of all engines together.

    Args:
        scope: The instrumentation scope of the spans.
        provider: Makes the tracer. None: the global provider.

    Raises:
        ImportError: The package is not installed.
    """

    def __init__(self, scope: str, provider: APITracerProvider | None = None) -> None:
        from opentelemetry import metrics, trace
        from opentelemetry.instrumentation.sqlalchemy.engine import EngineTracer
        from opentelemetry.instrumentation.sqlalchemy.version import __version__

        self._engine_tracer: Any = EngineTracer
        self._tracer = trace.get_tracer(scope, __version__, provider)
        self._connections = metrics.get_meter(scope, __version__).create_up_down_counter(
            "db.client.connections.usage", unit="connections"
        )

    def add(self, engine: Any) -> None:
        """Let the package measure an engine that it does not measure yet."""
        self._engine_tracer(self._tracer, engine, self._connections)

    def remove(self, engine: Any) -> None:
        """Let the package measure the engine no more."""
        from sqlalchemy import event

        for entry in list(self._engine_tracer._remove_event_listener_params):
            reference, name, listener = entry
            if reference() is engine:
                event.remove(engine, name, listener)
                self._engine_tracer._dispose_of_event_listener(entry)


def statement_span(execution_context: Any) -> Any:
    """Return the span that OpenTelemetry's SQLAlchemy package made for a statement, or None."""
    return getattr(execution_context, "_otel_span", None)


def take_statement_span(execution_context: Any) -> Any:
    """Return that span, which the caller ends: the package will not."""
    span = statement_span(execution_context)
    if span is not None:
        execution_context._otel_span = None
    return span
