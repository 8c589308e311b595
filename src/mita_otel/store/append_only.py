"""Triggers that keep the audit tables append-only, for SQLite and PostgreSQL.

`mita-otel audit verify` compares these texts with the database. They belong to revision `0001_audit`: a changed text needs
a new revision.
"""

from __future__ import annotations

from typing import Final

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
