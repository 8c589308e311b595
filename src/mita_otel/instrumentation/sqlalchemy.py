"""SQLAlchemy: a CLIENT span for each statement, of every engine, 1.4 to 2.1, sync and async.

The contrib package declares that it does not support SQLAlchemy 2.1, misses engines whose module imported
`create_engine` early, and takes the first word of a statement for its operation. Events on the `Engine` class are
public, cover every engine whenever it was made, and need no patching. An engine that the contrib package measures,
because the policy or the application wants it, is not measured here as well.

Names and attributes: OpenTelemetry semantic conventions for database client spans, stable since 1.33.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled
from opentelemetry.trace import SpanKind, Status, StatusCode

from mita_otel import semconv
from mita_otel._otel_compat.sqlalchemy import statement_span, take_statement_span
from mita_otel.instrumentation.patches import Patches, type_name
from mita_otel.instrumentation.sqlalchemy_contrib import (
    ContribSQLAlchemy,
    is_connecting_by_contrib,
    is_measured_by_contrib,
)
from mita_otel.latency.sql import statement_name, summarise_statement
from mita_otel.policy.runtime import InstrumentationPolicy

_SPAN = "_mita_span"
_SYSTEMS = {"mssql": "microsoft.sql_server", "oracle": "oracle.db"}


class SQLAlchemyInstrumentation:
    """Measures SQLAlchemy's statements.

    Args:
        policy: Which instrumentation measures, and whether waiting for a connection always becomes a span.
        patches: Takes back what this changes.
        tracer: Makes the spans. None: one of the provider.
        slow_checkout_ms: Milliseconds above which waiting for a connection becomes a span whatever the policy
            says. None: never.
        provider: Makes tracers. None: the global provider.
    """

    def __init__(
        self,
        policy: InstrumentationPolicy,
        patches: Patches,
        tracer: trace.Tracer | None = None,
        *,
        slow_checkout_ms: float | None = None,
        provider: trace.TracerProvider | None = None,
    ) -> None:
        self._policy = policy
        self._patches = patches
        self._slow_checkout_ms = slow_checkout_ms
        self._tracer = tracer or trace.get_tracer(
            "mita_otel.instrumentation.sqlalchemy", tracer_provider=provider
        )
        self._contrib = (
            ContribSQLAlchemy(patches, provider) if policy.sqlalchemy_source() == "contrib" else None
        )

    def install(self) -> None:
        """Measure every engine, made already or later, once sqlalchemy is imported."""

        def patch(module: Any) -> None:
            from sqlalchemy.engine import Engine

            self._listen(Engine)
            if self._contrib is not None and not self._contrib.install():
                self._contrib = None
            if self._policy.sqlalchemy_connect_spans or self._slow_checkout_ms is not None:
                self._patches.wrap("sqlalchemy.pool.base", "Pool.connect", self._connect)

        self._patches.on_import("sqlalchemy", patch)

    def instrument(self, target: Any) -> None:
        """Measure one engine, sync or async. A second call for the same engine does nothing.

        Raises:
            TypeError: It is not an engine.
        """
        sqlalchemy = sys.modules.get("sqlalchemy")
        engine = getattr(target, "sync_engine", target)
        if sqlalchemy is None or not isinstance(engine, sqlalchemy.Engine):
            raise TypeError(
                f"engine has to be a sqlalchemy.Engine, an AsyncEngine or a list of them, and is a {type_name(target)}"
            )
        if self._contrib is None or not self._contrib.instrument(engine):
            self._listen(engine)

    def _listen(self, target: Any) -> None:
        """Listen to one engine, or to all engines of a class."""
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        if any(event.contains(one, "before_cursor_execute", self._before) for one in (Engine, target)):
            return
        listeners: dict[str, Callable[..., Any]] = {
            "before_cursor_execute": self._before,
            "after_cursor_execute": self._after,
            "handle_error": self._error,
        }
        for name, listener in listeners.items():
            event.listen(target, name, listener)
        reference = weakref.ref(target)

        def remove() -> None:
            if (alive := reference()) is not None:
                for name, listener in listeners.items():
                    event.remove(alive, name, listener)

        self._patches.add(remove)

    def _before(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        if context is None or not is_instrumentation_enabled() or is_measured_by_contrib(conn):
            return
        url = conn.engine.url
        operation, collection = summarise_statement(statement)
        name = statement_name(operation, collection, url.database, conn.dialect.name)
        span = self._tracer.start_span(name, kind=SpanKind.CLIENT)
        if span.is_recording():
            span.set_attributes(_attributes(conn.dialect.name, url, statement, operation, collection))
        setattr(context, _SPAN, span)

    def _after(
        self, conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, executemany: bool
    ) -> None:
        own = getattr(context, _SPAN, None)
        span = own or statement_span(context)
        if span is not None and executemany and (rows := _rows(parameters, context)) > 1:
            span.set_attribute("db.operation.batch.size", rows)
        if own is not None:
            own.end()

    def _error(self, context: Any) -> None:
        """Complete the span of a statement that failed: ours, or the contrib package's, whose listener comes later."""
        execution = context.execution_context
        span = getattr(execution, _SPAN, None) or take_statement_span(execution)
        if span is None or not span.is_recording():
            return
        error = context.original_exception
        span.set_attribute(semconv.ERROR_TYPE, f"{type(error).__module__}.{type(error).__qualname__}")
        code = getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None)
        if code:
            span.set_attribute("db.response.status_code", str(code))
        if isinstance(error, Exception):  # a task that was cancelled is no error
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()

    def _connect(
        self, wrapped: Callable[..., Any], pool: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> Any:
        if not is_instrumentation_enabled() or is_connecting_by_contrib():
            return wrapped(*args, **kwargs)
        started_ns = time_ns()
        try:
            connection = wrapped(*args, **kwargs)
        except Exception as error:
            self._checked_out(pool, started_ns, error)
            raise
        if self._policy.sqlalchemy_connect_spans or self._is_slow(time_ns() - started_ns):
            self._checked_out(pool, started_ns)
        return connection

    def _is_slow(self, took_ns: int) -> bool:
        return self._slow_checkout_ms is not None and took_ns > self._slow_checkout_ms * 1_000_000

    def _checked_out(self, pool: Any, started_ns: int, error: Exception | None = None) -> None:
        """Make the span of a check-out when it is over: most are over in no time, and have none."""
        span = self._tracer.start_span(
            "connect",
            kind=SpanKind.CLIENT,
            attributes={semconv.DB_POOL_NAME: str(pool.logging_name or type(pool).__name__)},
            start_time=started_ns,
        )
        if error is not None and span.is_recording():
            span.set_attribute(semconv.ERROR_TYPE, f"{type(error).__module__}.{type(error).__qualname__}")
            span.set_status(Status(StatusCode.ERROR, str(error)))
        span.end()


def _rows(parameters: Any, context: Any) -> int:
    """Return the number of rows of an `executemany`. 1 is no batch (semantic conventions, database spans)."""
    if not hasattr(parameters, "__len__") or not len(parameters):
        return 0
    if isinstance(parameters, Mapping) or not isinstance(next(iter(parameters)), (Mapping, list, tuple)):
        # SQLAlchemy wrote the rows into one statement (insertmanyvalues): its parameters are those of all rows.
        compiled = getattr(context, "compiled_parameters", None)
        return len(parameters) // max(1, len(compiled[0])) if compiled else 0
    return len(parameters)


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
