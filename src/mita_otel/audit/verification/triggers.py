"""Checks that the audit tables are append-only: exactly our triggers, no rule, no policy, no replica role."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.engine import Connection

from mita_otel.store.append_only import postgresql_functions, postgresql_triggers, sqlite_triggers
from mita_otel.store.tables import (
    AuditEntryRow,
    AuditErasureRow,
    AuditTombstoneRow,
    ErasedSubjectRow,
    LegalHoldRow,
)

_TABLES: Final = tuple(
    row.__tablename__
    for row in (AuditEntryRow, AuditErasureRow, AuditTombstoneRow, ErasedSubjectRow, LegalHoldRow)
)
_ENABLED: Final = frozenset({"O", "A"})


def trigger_faults(connection: Connection) -> Iterator[str]:
    """Yield a sentence for each way in which the audit tables are not append-only."""
    if connection.dialect.name == "sqlite":
        yield from _sqlite(connection)
    else:
        yield from _postgresql_triggers(connection)
        yield from _postgresql_functions(connection)
        yield from _postgresql_tables(connection)
        yield from _postgresql_roles(connection)


def _sqlite(connection: Connection) -> Iterator[str]:
    rows = connection.exec_driver_sql("SELECT name, sql, tbl_name FROM sqlite_master WHERE type = 'trigger'")
    present: dict[str, tuple[str, str]] = {name: (sql, table) for name, sql, table in rows}
    ours = sqlite_triggers()
    for name, sql in ours.items():
        if name not in present:
            yield f"the trigger {name} is missing"
        elif present[name][0].strip() != sql.strip():
            yield f"the trigger {name} was changed"
    for name, (_, table) in sorted(present.items()):
        if name not in ours and table.lower() in _TABLES:
            yield f"the trigger {name} on {table} was added"


def _postgresql_triggers(connection: Connection) -> Iterator[str]:
    rows = connection.exec_driver_sql(
        "SELECT t.tgname, t.tgenabled, pg_get_triggerdef(t.oid, true), c.relname FROM pg_trigger t "
        "JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal AND pg_table_is_visible(t.tgrelid)"
    )
    present = [(name, _text(enabled), definition, table) for name, enabled, definition, table in rows]
    ours = postgresql_triggers()
    for name, sql in ours.items():
        found = [one for one in present if one[0] == name]
        same = [one for one in found if one[2] == sql]
        if not found:
            yield f"the trigger {name} is missing"
        elif not same:
            yield f"the trigger {name} was changed"
        elif not any(enabled in _ENABLED for _, enabled, _, _ in same):
            yield f"the trigger {name} is disabled"
    for name, _, _, table in sorted(present):
        if table in _TABLES and name not in ours:
            yield f"the trigger {name} on {table} was added"
        elif table in _TABLES and name in ours and f" ON {table} " not in ours[name]:
            yield f"the trigger {name} on {table} was added: it belongs to another table"


def _postgresql_functions(connection: Connection) -> Iterator[str]:
    rows = connection.exec_driver_sql(
        "SELECT proname, prosrc FROM pg_proc WHERE pg_function_is_visible(oid) AND proname LIKE 'mita_%%'"
    )
    bodies: dict[str, str] = {name: body for name, body in rows}  # noqa: C416 - rows are not pairs to mypy
    for name, body in postgresql_functions().items():
        if bodies.get(name, "").strip() != body.strip():
            yield f"the function {name} was changed"


_RULES: Final = text(
    "SELECT r.rulename, c.relname FROM pg_rewrite r JOIN pg_class c ON c.oid = r.ev_class "
    "WHERE c.relname = ANY(:tables) AND pg_table_is_visible(c.oid) AND r.rulename <> '_RETURN' ORDER BY 1, 2"
)
_KINDS: Final = text(
    "SELECT c.relname, c.relkind, c.relrowsecurity, EXISTS (SELECT 1 FROM pg_inherits i WHERE i.inhparent = c.oid) "
    "FROM pg_class c WHERE c.relname = ANY(:tables) AND pg_table_is_visible(c.oid) ORDER BY 1"
)
_ROLE_SETTINGS: Final = text(
    "SELECT coalesce(d.datname, ''), coalesce(r.rolname, '') FROM pg_db_role_setting o "
    "LEFT JOIN pg_database d ON d.oid = o.setdatabase LEFT JOIN pg_roles r ON r.oid = o.setrole "
    "WHERE 'session_replication_role=replica' = ANY(o.setconfig) "
    "AND (o.setdatabase = 0 OR d.datname = current_database()) ORDER BY 1, 2"
)


def _postgresql_tables(connection: Connection) -> Iterator[str]:
    """Yield what else can discard, redirect, add or hide rows: rules, row security, inheritance, views."""
    tables = {"tables": list(_TABLES)}
    for rule, table in connection.execute(_RULES, tables):
        yield f"the rule {rule} on {table} was added"
    for table, kind, row_security, has_children in connection.execute(_KINDS, tables):
        if _text(kind) != "r":
            yield f"{table} is not a table any more"
        if row_security:
            yield f"row security was switched on for {table}, which can hide rows"
        if has_children:
            yield f"another table inherits from {table}, which can add rows to it"


def _postgresql_roles(connection: Connection) -> Iterator[str]:
    """Yield where the role of a replica disables triggers: for this session, a role or a database."""
    if connection.exec_driver_sql("SHOW session_replication_role").scalar_one() == "replica":
        yield "session_replication_role is 'replica' for this session: triggers do not fire"
    for database, role in connection.execute(_ROLE_SETTINGS):
        parts = (database and f"the database {database}", role and f"the role {role}")
        where = " and ".join(filter(None, parts)) or "all databases"
        yield f"session_replication_role is set to 'replica' for {where}: triggers do not fire there"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
