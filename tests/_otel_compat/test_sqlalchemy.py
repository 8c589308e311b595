"""Private names of the SQLAlchemy package."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import (
    TracerProvider,
)

from mita_otel._otel_compat.sqlalchemy import EngineListeners, statement_span, take_statement_span


def test_single_engines_get_and_lose_the_listeners_of_the_sqlalchemy_package() -> None:
    pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    from sqlalchemy import create_engine

    ours, other = create_engine("sqlite://"), create_engine("sqlite://")
    listeners = EngineListeners("test")
    listeners.add(ours)
    listeners.add(other)
    assert [type(one.__self__).__name__ for one in list[Any](ours.dispatch.before_cursor_execute)] == [
        "EngineTracer"
    ]
    listeners.remove(ours)
    assert [*ours.dispatch.before_cursor_execute, *ours.pool.dispatch.checkout] == []
    assert len(list(other.dispatch.before_cursor_execute)) == 1
    listeners.remove(other)


def test_the_span_of_a_statement_is_read_from_the_sqlalchemy_package() -> None:
    pytest.importorskip("opentelemetry.instrumentation.sqlalchemy", exc_type=ImportError)
    from sqlalchemy import create_engine, event, text
    from sqlalchemy.engine import Engine

    provider = TracerProvider(shutdown_on_exit=False)
    engine = create_engine("sqlite://")
    listeners = EngineListeners("test", provider)
    listeners.add(engine)
    taken: list[Any] = []

    def after(conn: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        taken.append((statement_span(context), take_statement_span(context)))
        taken.append((statement_span(context), None))

    event.listen(Engine, "after_cursor_execute", after)  # called before the listeners of a single engine
    with engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    (span, same), (nothing, _) = taken
    assert span is same
    assert span.is_recording(), "the package ends it no more"
    assert nothing is None
    listeners.remove(engine)
    event.remove(Engine, "after_cursor_execute", after)
