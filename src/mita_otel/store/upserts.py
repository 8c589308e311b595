"""Inserts and upserts that work on SQLite and PostgreSQL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Table, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import Connection


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert new rows."""
    if rows:
        connection.execute(insert(table), list(rows))


def insert_missing_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows whose primary key is new."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def add_counts(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Insert rows, or add their `count` to the existing rows with the same keys."""
    if rows:
        new = _insert(connection, table)
        total = {"count": table.c.count + new.excluded["count"]}
        statement = new.on_conflict_do_update(index_elements=list(keys), set_=total)
        for row in rows:  # in order, so that two writers cannot deadlock
            connection.execute(statement, row)


def replace_rows(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Insert rows, or replace the existing rows with the same keys."""
    for row in rows:
        new = _insert(connection, table)
        changed = {name: new.excluded[name] for name in row if name not in keys}
        connection.execute(new.on_conflict_do_update(index_elements=list(keys), set_=changed), row)


def _insert(connection: Connection, table: Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
