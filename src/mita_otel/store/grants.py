"""Grants for PostgreSQL roles: services and readers may only append to the audit trail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from sqlalchemy import text

from mita_otel.store.database import Database
from mita_otel.store.errors import StoreError
from mita_otel.store.migrate import METADATA, VERSION_TABLE
from mita_otel.store.tables import PREFIX

Purpose = Literal["writer", "reader"]

_COUNTED: Final = {PREFIX + "redactions": "count", PREFIX + "leases": "holder, until_ns"}
"""Columns that a writer may update, by table."""
_ADDED: Final = (
    "audit_entries", "errors", "breaches", "latency_windows", "redactions", "spans", "leases", "legal_holds",
)  # fmt: skip
"""Tables into which a writer may insert."""
_READS: Final = PREFIX + "audit_entries"
"""Table into which a reader may insert: each read of the audit trail is an entry."""
_FULL: Final = ("alert_points", "alerts", "alert_messages", "alert_silences")
"""Tables of current state, which a writer may change freely."""


def grants(role: str, purpose: Purpose = "writer", *, schema: str = "public") -> Iterator[str]:
    """Yield the statements that grant a role what it needs, and revoke everything else.

    Args:
        role: Name of an existing role.
        purpose: `writer`: for a service. `reader`: for reports and auditors, whose reads become audit entries. Purges and
            erasures need the tables' owner.
        schema: Schema of the tables.
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
        if purpose == "writer" and name.removeprefix(PREFIX) in _FULL:
            yield f"GRANT INSERT, UPDATE, DELETE ON {named} TO {quoted}"
    if purpose == "writer":
        for table in sorted(METADATA.tables.values(), key=lambda one: one.name):
            if "id" in table.c and table.c.id.autoincrement is True:
                yield f"GRANT USAGE ON SEQUENCE {_quoted(schema)}.{table.name}_id_seq TO {quoted}"


def grant(database: Database, role: str, purpose: Purpose = "writer") -> None:
    """Grant a role what it needs. Run it as the tables' owner.

    Raises:
        StoreError: The store is SQLite, which has no roles; the role does not exist; or it has the owner's privileges.
    """
    if database.is_sqlite:
        raise StoreError("SQLite has no roles; restrict who can read and write the file instead")
    with database.write() as connection:
        if not connection.execute(text("SELECT 1 FROM pg_roles WHERE rolname = :role"), {"role": role}).all():
            raise StoreError(
                f"the role {role} does not exist; create it first: CREATE ROLE {_quoted(role)} LOGIN"
            )
        owner = connection.execute(
            text(
                "SELECT tableowner FROM pg_tables WHERE schemaname = current_schema() AND tablename = :entries "
                "AND pg_has_role(:role, tableowner, 'MEMBER')"
            ),
            {"role": role, "entries": PREFIX + "audit_entries"},
        ).scalar()
        if owner is not None:
            raise StoreError(
                f"{role} has the privileges of the tables' owner {owner} (it is the owner, a member of it, or a superuser), "
                "so grants cannot protect the audit trail from it; create a role for the service: "
                "CREATE ROLE payments_service LOGIN"
            )
        schema = connection.exec_driver_sql("SELECT current_schema()").scalar_one()
        for statement in grants(role, purpose, schema=schema):
            connection.exec_driver_sql(statement)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
