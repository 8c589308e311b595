"""SQLAlchemy by `opentelemetry-instrumentation-sqlalchemy`: where the policy wants it, or the application uses it."""

from __future__ import annotations

import logging
import sys
import threading
from importlib import import_module
from typing import Any, Final
from weakref import WeakSet

from opentelemetry import trace
from opentelemetry.instrumentation.utils import is_instrumentation_enabled, unwrap

from mita_otel._otel_compat.sqlalchemy import EngineListeners
from mita_otel.instrumentation.patches import Patches

_logger: Final = logging.getLogger("mita_otel")
_SCOPE: Final = "opentelemetry.instrumentation.sqlalchemy"

INSTALL: Final = "pip install 'mita-otel[contrib]'"
"""The command that installs the contrib package and what it needs."""


class ContribSQLAlchemy:
    """Lets the contrib package measure engines, whenever they were made.

    The package patches `create_engine`, so it misses engines that exist and modules that imported the function early.
    These get its listeners when they connect.

    Args:
        patches: Takes back what this changes.
        provider: Makes tracers. None: the global provider.
    """

    def __init__(self, patches: Patches, provider: trace.TracerProvider | None = None) -> None:
        self._patches = patches
        self._provider = provider
        self._lock = threading.Lock()
        self._engines: WeakSet[Any] = WeakSet()
        """Engines that got the package's listeners from us."""
        self._listeners: EngineListeners | None = None

    def install(self) -> bool:
        """Let the package measure every engine. Returns False, and logs why, if it cannot."""
        if not self._prepare():
            return False
        from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
        from sqlalchemy import event
        from sqlalchemy.engine import Engine

        instrumentor = SQLAlchemyInstrumentor()
        if not instrumentor.is_instrumented_by_opentelemetry:
            # The package declares sqlalchemy < 2.1, and works with 2.1.
            instrumentor.instrument(skip_dep_check=True, tracer_provider=self._provider)
            # Check-outs are measured as the policy says.
            unwrap(Engine, "connect")
            self._patches.add(_uninstrument)
        event.listen(Engine, "engine_connect", self._connected)
        self._patches.add(lambda: event.remove(Engine, "engine_connect", self._connected))
        return True

    def instrument(self, engine: Any) -> bool:
        """Let the package measure one engine, once. Returns False, and logs why, if it cannot."""
        if not self._prepare() or self._listeners is None:
            return False
        with self._lock:
            if not is_measured_by_contrib(engine):
                self._listeners.add(engine)
                self._engines.add(engine)
        return True

    def _prepare(self) -> bool:
        if self._listeners is not None:
            return True
        problem = missing_package()
        if problem is not None:
            _logger.warning(
                'instrumentation.sqlalchemy is "contrib", but the contrib package cannot be imported (%s): mita-otel '
                "measures SQLAlchemy itself. Fix: %s",
                problem,
                INSTALL,
            )
            return False
        self._listeners = EngineListeners(_SCOPE, self._provider)
        self._patches.add(self._remove)
        return True

    def _connected(self, connection: Any, *_: Any) -> None:
        engine = connection.engine
        while (option_of := getattr(engine, "_proxied", None)) is not None:
            engine = option_of  # `engine.execution_options()` shares the listeners of its engine
        if is_instrumentation_enabled() and not is_measured_by_contrib(connection):
            self.instrument(engine)

    def _remove(self) -> None:
        with self._lock:
            for engine in list(self._engines):
                if self._listeners is not None:
                    self._listeners.remove(engine)
            self._engines.clear()


def _uninstrument() -> None:
    from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor

    if SQLAlchemyInstrumentor().is_instrumented_by_opentelemetry:  # the application may have done it
        SQLAlchemyInstrumentor().uninstrument()


def missing_package() -> str | None:
    """Return why the contrib package cannot be imported, or None if it can."""
    try:
        import_module(_SCOPE)
        import_module("sqlalchemy.ext.asyncio")  # the package patches it, so it needs greenlet as well
    except ImportError as error:
        return str(error).partition(".  ")[0]
    return None


def is_measured_by_contrib(target: Any) -> bool:
    """Return whether the contrib package listens to an engine or a connection."""
    module = sys.modules.get(f"{_SCOPE}.engine")
    tracer: Any = getattr(module, "EngineTracer", None)
    return tracer is not None and any(
        isinstance(getattr(listener, "__self__", None), tracer)
        for listener in target.dispatch.before_cursor_execute
    )


def is_connecting_by_contrib() -> bool:
    """Return whether the current span is the contrib package's of waiting for a connection."""
    if f"{_SCOPE}.engine" not in sys.modules:
        return False
    span = trace.get_current_span()
    scope = getattr(span, "instrumentation_scope", None)
    return getattr(span, "name", None) == "connect" and getattr(scope, "name", None) == _SCOPE
