"""Checks that the triggers which keep the audit tables append-only exist in the database, word for word."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from sqlalchemy.engine import Connection

from mita_otel.store.append_only import postgresql_functions, postgresql_triggers, sqlite_triggers


def missing_triggers(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each trigger that is missing, disabled or changed."""
    if connection.dialect.name == "sqlite":
        yield from _sqlite(connection)
    else:
        yield from _postgresql(connection)


def _sqlite(connection: Connection) -> Iterator[str]:
    rows = connection.exec_driver_sql("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'")
    present = {name: sql for name, sql in rows}  # noqa: C416 - rows are not pairs to mypy
    for name, sql in sqlite_triggers().items():
        if name not in present:
            yield f"the trigger {name} is missing"
        elif present[name].strip() != sql.strip():
            yield f"the trigger {name} was changed"


def _postgresql(connection: Connection) -> Iterator[str]:
    rows = connection.exec_driver_sql(
        "SELECT t.tgname, t.tgenabled, pg_get_triggerdef(t.oid, true) FROM pg_trigger t "
        "WHERE NOT t.tgisinternal AND pg_table_is_visible(t.tgrelid)"
    )
    present: dict[str, list[tuple[Any, str]]] = defaultdict(list)
    for name, enabled, definition in rows:
        present[name].append((enabled, definition))
    for name, sql in postgresql_triggers().items():
        if name not in present:
            yield f"the trigger {name} is missing"
        elif sql not in [definition for _, definition in present[name]]:
            yield f"the trigger {name} was changed"
        elif not any(
            enabled in ("O", "A", b"O", b"A") for enabled, definition in present[name] if definition == sql
        ):
            yield f"the trigger {name} is disabled"
    sources = connection.exec_driver_sql(
        "SELECT proname, prosrc FROM pg_proc WHERE pg_function_is_visible(oid) AND proname LIKE 'mita_%%'"
    )
    bodies = {name: body for name, body in sources}  # noqa: C416 - as above
    for name, body in postgresql_functions().items():
        if bodies.get(name, "").strip() != body.strip():
            yield f"the function {name} was changed"
