"""Triggers that keep the audit tables append-only, for SQLite and PostgreSQL.

`mita-otel audit verify` compares these texts with the database. They belong to revision `0001_audit`: a changed text needs
a new revision.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, Literal

from sqlalchemy import text

from mita_otel.store.database import Database
from mita_otel.store.errors import StoreError
from mita_otel.store.migrate import METADATA, VERSION_TABLE
from mita_otel.store.tables import PREFIX

_KEPT: Final = (  # columns of an entry that never change
    "chain", "sequence", "recorded_ns", "event_type", "outcome", "service", "resource_type", "resource_id",
    "request_id", "trace_id", "body", "mac", "key_id",
)  # fmt: skip
_NEVER_CHANGED: Final = ("mita_audit_tombstones", "mita_audit_erasures")
_KEPT_TABLES: Final = ("mita_audit_entries", *_NEVER_CHANGED, "mita_legal_holds")
_ONLY_ERASED: Final = """OLD.erasure_id IS NOT NULL OR NEW.erasure_id IS NULL OR NEW.erasure_mac IS NULL
          OR NEW.user_id IS NOT NULL OR NEW.personal IS NOT NULL OR NEW.personal_key IS NOT NULL"""


def sqlite_triggers() -> dict[str, str]:
    """Return the triggers by name."""
    changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in _KEPT)
    triggers = {
        # REPLACE deletes without asking the delete trigger.
        "mita_audit_entries_insert": """
        CREATE TRIGGER mita_audit_entries_insert BEFORE INSERT ON mita_audit_entries
        WHEN EXISTS (SELECT 1 FROM mita_audit_entries e
                     WHERE e.chain = NEW.chain AND e.sequence = NEW.sequence)
        BEGIN SELECT RAISE(ABORT, 'mita_audit_entries: UNIQUE (chain, sequence)'); END""",
        "mita_audit_entries_update": f"""
        CREATE TRIGGER mita_audit_entries_update BEFORE UPDATE ON mita_audit_entries
        WHEN {changed}
          OR {_ONLY_ERASED}
        BEGIN SELECT RAISE(ABORT, 'mita_audit_entries is append-only; only an erasure may change an entry'); END""",
        "mita_audit_entries_delete": """
        CREATE TRIGGER mita_audit_entries_delete BEFORE DELETE ON mita_audit_entries
        WHEN NOT EXISTS (SELECT 1 FROM mita_audit_tombstones t WHERE t.chain = OLD.chain
                         AND OLD.sequence BETWEEN t.first_sequence AND t.last_sequence)
        BEGIN SELECT RAISE(ABORT, 'mita_audit_entries is append-only; run: mita-otel retention apply'); END""",
        "mita_legal_holds_delete": """
        CREATE TRIGGER mita_legal_holds_delete BEFORE DELETE ON mita_legal_holds
        BEGIN SELECT RAISE(ABORT, 'mita_legal_holds is append-only; run: mita-otel retention release'); END""",
    }
    for table in _NEVER_CHANGED:
        for verb in ("UPDATE", "DELETE"):
            name = f"{table}_{verb.lower()}"
            triggers[name] = f"""
        CREATE TRIGGER {name} BEFORE {verb} ON {table}
        BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END"""
    return triggers


def postgresql_functions() -> dict[str, str]:
    """Return the bodies of the triggers' functions by name."""
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in _KEPT)
    return {
        "mita_audit_entry_changed": f"""
        BEGIN
          IF {changed}
          OR {_ONLY_ERASED} THEN
            RAISE EXCEPTION 'mita_audit_entries is append-only; only an erasure may change an entry';
          END IF;
          RETURN NEW;
        END """,
        "mita_audit_entry_deleted": """
        DECLARE covered boolean;
        BEGIN
          -- With its schema: a temporary table of that name would be found first.
          EXECUTE format('SELECT EXISTS (SELECT 1 FROM %I.mita_audit_tombstones t WHERE t.chain = $1 '
                         'AND $2 BETWEEN t.first_sequence AND t.last_sequence)', TG_TABLE_SCHEMA)
            INTO covered USING OLD.chain, OLD.sequence;
          IF NOT covered THEN
            RAISE EXCEPTION 'mita_audit_entries is append-only; run: mita-otel retention apply';
          END IF;
          RETURN OLD;
        END """,
        "mita_append_only": """
        BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END """,
    }


def postgresql_triggers() -> dict[str, str]:
    """Return the triggers by name."""
    row = {
        "mita_audit_entries_update": ("UPDATE", "mita_audit_entries", "mita_audit_entry_changed"),
        "mita_audit_entries_delete": ("DELETE", "mita_audit_entries", "mita_audit_entry_deleted"),
        "mita_legal_holds_delete": ("DELETE", "mita_legal_holds", "mita_append_only"),
        **{
            f"{table}_{verb.lower()}": (verb, table, "mita_append_only")
            for table in _NEVER_CHANGED
            for verb in ("UPDATE", "DELETE")
        },
    }
    triggers = {
        name: f"CREATE TRIGGER {name} BEFORE {verb} ON {table} FOR EACH ROW EXECUTE FUNCTION {function}()"
        for name, (verb, table, function) in row.items()
    }
    for table in _KEPT_TABLES:
        name = f"{table}_truncate"
        triggers[name] = (
            f"CREATE TRIGGER {name} BEFORE TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION mita_append_only()"
        )
    return triggers


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
