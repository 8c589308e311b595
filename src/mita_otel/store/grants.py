"""PostgreSQL roles: a service may add to the audit trail, and nothing else to it; so may who reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from sqlalchemy import text

from mita_otel.store.database import Database
from mita_otel.store.errors import StoreError
from mita_otel.store.schema import METADATA, VERSION_TABLE
from mita_otel.store.tables import PREFIX

Purpose = Literal["writer", "reader"]

_COUNTED: Final = {PREFIX + "redactions": "count", PREFIX + "leases": "holder, until_ns"}
"""Tables of which a writer may change some columns."""
_ADDED: Final = (
    "audit_entries", "errors", "breaches", "latency_windows", "redactions", "spans", "leases", "legal_holds",
)  # fmt: skip
"""Tables to which a writer may add."""
_READS: Final = PREFIX + "audit_entries"
"""Table to which a reader may add as well: each read of the audit trail is an entry."""
_OWN: Final = ("alert_points", "alerts", "alert_messages", "alert_silences")
"""Tables of what is under way, where a writer may do everything."""


def grants(role: str, purpose: Purpose = "writer", *, schema: str = "public") -> Iterator[str]:
    """Yield the statements that give a role what it needs, and take from it what it must not have.

    Args:
        role: Its name. It must be there already.
        purpose: `writer`: what a service needs. `reader`: what reports and an auditor need, whose reads are
            entries of the trail. Purges and erasures take the tables' owner.
        schema: Where the tables are.
    """
    quoted = _quoted(role)
    yield f"GRANT USAGE ON SCHEMA {_quoted(schema)} TO {quoted}"
    for name in sorted([*METADATA.tables, VERSION_TABLE]):
        named = f"{_quoted(schema)}.{name}"
        yield f"REVOKE ALL ON {named} FROM {quoted}"
        yield f"GRANT SELECT ON {named} TO {quoted}"
        if name == _READS or (purpose == "writer" and name.removeprefix(PREFIX) in _ADDED):
            yield f"GRANT INSERT ON {named} TO {quoted}"
        if purpose == "writer" and name in _COUNTED:
            yield f"GRANT UPDATE ({_COUNTED[name]}) ON {named} TO {quoted}"
        if purpose == "writer" and name.removeprefix(PREFIX) in _OWN:
            yield f"GRANT INSERT, UPDATE, DELETE ON {named} TO {quoted}"
    if purpose == "writer":
        for table in sorted(METADATA.tables.values(), key=lambda one: one.name):
            if "id" in table.c and table.c.id.autoincrement is True:
                yield f"GRANT USAGE ON SEQUENCE {_quoted(schema)}.{table.name}_id_seq TO {quoted}"


def grant(database: Database, role: str, purpose: Purpose = "writer") -> None:
    """Give a role what it needs. Takes the tables' owner.

    Raises:
        StoreError: The store is SQLite, which has no roles; there is no such role; or it has the owner's rights.
    """
    if database.is_sqlite:
        raise StoreError("SQLite has no roles; restrict who can read and write the file instead")
    with database.write() as connection:
        if not connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).all():
            raise StoreError(f"there is no role {role}; make it first: CREATE ROLE {_quoted(role)} LOGIN")
        owner = connection.execute(
            text(
                "SELECT tableowner FROM pg_tables WHERE schemaname = current_schema() AND tablename = :entries "
                "AND pg_has_role(:role, tableowner, 'MEMBER')"
            ),
            {"role": role, "entries": PREFIX + "audit_entries"},
        ).scalar()
        if owner is not None:
            raise StoreError(
                f"{role} may do what the tables' owner {owner} may (it is the owner, a member of it, or a superuser): "
                "no grant keeps it from changing the audit trail; make a role for the service, as in: "
                "CREATE ROLE payments_service LOGIN"
            )
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        for statement in grants(role, purpose, schema=schema):
            connection.exec_driver_sql(statement)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
