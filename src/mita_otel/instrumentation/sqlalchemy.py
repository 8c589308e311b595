"""SQLAlchemy: a CLIENT span for each statement, of every engine, 2.0 and 2.1, sync and async.

The contrib instrumentation refuses SQLAlchemy 2.1, misses engines whose module imported `create_engine`
early, doubles its listeners where an engine is named twice and takes `with` for an operation. Events on the
`Engine` class are public, cover every engine whenever it was made, and need no patching.

Names and attributes: OpenTelemetry semantic conventions for database client spans, stable since 1.33.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import wrapt
from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, Status, StatusCode

from mita_otel.instrumentation.statement import summarise
from mita_otel.policy.sections import InstrumentationPolicy

_SPAN = "_mita_span"
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}


class SQLAlchemyInstrumentation:
    """Measures SQLAlchemy's statements.

    Args:
        policy: Whether, and whether waiting for a connection becomes a span too.
        tracer: Makes the spans. None: one of the global provider.
    """

    def __init__(self, policy: InstrumentationPolicy, tracer: trace.Tracer | None = None) -> None:
        self._policy = policy
        self._tracer = tracer or trace.get_tracer("mita_otel.instrumentation.sqlalchemy")

    def install(self) -> None:
        """Measure every engine, made already or later; waits for sqlalchemy's import."""

        def patch(module: Any) -> None:
            from sqlalchemy.engine import Engine

            if not _contrib_is_active():
                self.instrument(Engine)
            if self._policy.sqlalchemy_connect_spans:
                wrapt.wrap_function_wrapper("sqlalchemy.pool.base", "Pool.connect", self._connect)

        wrapt.register_post_import_hook(patch, "sqlalchemy")

    def instrument(self, target: Any) -> None:
        """Measure one engine (sync or async), or a whole engine class. Twice is once."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        target = getattr(target, "sync_engine", target)
        listens_already = event.contains(Engine, "before_cursor_execute", self._before) or event.contains(
            target, "before_cursor_execute", self._before
        )
        if not listens_already:
            event.listen(target, "before_cursor_execute", self._before)
            event.listen(target, "after_cursor_execute", self._after)
            event.listen(target, "handle_error", self._error)

    def _before(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if context is None or not is_instrumentation_enabled():
            return
        url = conn.engine.url
        operation, collection = summarise(statement)
        target = collection or _namespace(url.database)
        name = " ".join(part for part in (operation, target) if part) or str(conn.dialect.name)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT)
        if span.is_recording():
            span.set_attributes(_attributes(conn.dialect.name, url, statement, operation, collection))
            if executemany and hasattr(parameters, "__len__"):
                span.set_attribute("db.operation.batch.size", len(parameters))
        setattr(context, _SPAN, span)

    def _after(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        span = getattr(context, _SPAN, None)
        if span is not None:
            span.end()

    def _error(self, context: Any) -> None:
        span = getattr(context.execution_context, _SPAN, None)
        if span is None:
            return
        error = context.original_exception
        if span.is_recording():
            span.set_attribute("error.type", f"{type(error).__module__}.{type(error).__qualname__}")
            code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
            if code:
                span.set_attribute("db.response.status_code", str(code))
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()

    def _connect(
        self, wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not is_instrumentation_enabled():
            return wrapped(*args, **kwargs)
        with self._tracer.start_as_current_span("connect", kind=SpanKind.CLIENT) as span:
            span.set_attribute("db.client.connection.pool.name", pool.logging_name or type(pool).__name__)
            return wrapped(*args, **kwargs)


def _attributes(
    dialect: str, url: Any, statement: str, operation: str | None, collection: str | None
) -> dict[str, str | int]:
    attributes: dict[str, str | int] = {
        "db.system.name": _SYSTEMS.get(dialect, dialect),
        "db.query.text": statement,
    }
    optional = {
        "db.operation.name": operation,
        "db.collection.name": collection,
        "db.namespace": url.database,
        "server.address": url.host,
        "server.port": url.port,
    }
    attributes.update({name: value for name, value in optional.items() if value})
    return attributes


def _namespace(database: str | None) -> str | None:
    """The database's name; of a SQLite path the file's name alone, since span names must not vary."""
    return database.replace("\\", "/").rsplit("/", 1)[-1] if database else None


def _contrib_is_active() -> bool:
    try:
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
    except ImportError:
        return False
    return bool(SQLAlchemyInstrumentor().is_instrumented_by_opentelemetry)
