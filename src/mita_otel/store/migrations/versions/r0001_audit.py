"""The audit trail: entries, tombstones, erasures, legal holds, and the triggers that keep them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001_audit"
down_revision = None
branch_labels = None
depends_on = None

_KEPT = (  # every column of an entry that nothing may ever change
    "chain", "sequence", "recorded_ns", "event_type", "outcome", "service", "resource_type", "resource_id",
    "request_id", "trace_id", "body", "mac", "key_id",
)  # fmt: skip


def upgrade() -> None:
    """Make the tables and their triggers."""
    op.create_table(
        "mita_audit_entries",
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("recorded_ns", sa.BigInteger(), nullable=False),
        sa.Column("event_type", sa.String(64), nullable=False),
        sa.Column("outcome", sa.String(64), nullable=False),
        sa.Column("service", sa.Text(), nullable=False),
        sa.Column("user_id", sa.Text()),
        sa.Column("resource_type", sa.Text()),
        sa.Column("resource_id", sa.Text()),
        sa.Column("request_id", sa.Text()),
        sa.Column("trace_id", sa.Text()),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("personal", sa.Text()),
        sa.Column("personal_key", sa.String(64)),
        sa.Column("erasure_id", sa.String(64)),
        sa.Column("erasure_mac", sa.String(64)),
        sa.PrimaryKeyConstraint("chain", "sequence", name="pk_mita_audit_entries"),
    )
    for columns, condition in (
        (["recorded_ns"], None),
        (["event_type", "recorded_ns"], None),
        (["user_id", "recorded_ns"], "user_id IS NOT NULL"),
        (["trace_id"], "trace_id IS NOT NULL"),
    ):
        where = None if condition is None else sa.text(condition)
        op.create_index(
            f"ix_mita_audit_entries_{'_'.join(columns)}",
            "mita_audit_entries",
            columns,
            postgresql_where=where,
            sqlite_where=where,
        )
    op.create_table(
        "mita_audit_tombstones",
        sa.Column("chain", sa.String(64), nullable=False),
        sa.Column("first_sequence", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("last_sequence", sa.BigInteger(), nullable=False),
        sa.Column("previous", sa.String(64), nullable=False),
        sa.Column("last_mac", sa.String(64), nullable=False),
        sa.Column("first_recorded_ns", sa.BigInteger(), nullable=False),
        sa.Column("last_recorded_ns", sa.BigInteger(), nullable=False),
        sa.Column("purged_ns", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("chain", "first_sequence", name="pk_mita_audit_tombstones"),
    )
    op.create_table(
        "mita_audit_erasures",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("erased_ns", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mita_audit_erasures"),
    )
    op.create_table(
        "mita_legal_holds",
        sa.Column("id", sa.String(64), nullable=False),
        sa.Column("created_ns", sa.BigInteger(), nullable=False),
        sa.Column("created_by", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("data_class", sa.String(64)),
        sa.Column("user_id", sa.Text()),
        sa.Column("from_ns", sa.BigInteger()),
        sa.Column("until_ns", sa.BigInteger()),
        sa.Column("released_ns", sa.BigInteger()),
        sa.Column("released_by", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_mita_legal_holds"),
    )
    statements = _sqlite() if op.get_bind().dialect.name == "sqlite" else _postgresql()
    for statement in statements:
        op.execute(statement)


def downgrade() -> None:
    """Drop them. Only the way back of an upgrade that nobody has used: the trail goes with them."""
    for table in ("mita_legal_holds", "mita_audit_erasures", "mita_audit_tombstones", "mita_audit_entries"):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        for function in ("mita_audit_entry_changed", "mita_audit_entry_deleted", "mita_append_only"):
            op.execute(f"DROP FUNCTION {function}()")


def _sqlite() -> list[str]:
    changed = " OR ".join(f"NEW.{column} IS NOT OLD.{column}" for column in _KEPT)
    return [
        # REPLACE deletes without asking the delete trigger.
        """
        CREATE TRIGGER mita_audit_entries_insert BEFORE INSERT ON mita_audit_entries
        WHEN EXISTS (SELECT 1 FROM mita_audit_entries e
                     WHERE e.chain = NEW.chain AND e.sequence = NEW.sequence)
        BEGIN SELECT RAISE(ABORT, 'mita_audit_entries: UNIQUE (chain, sequence)'); END
        """,
        f"""
        CREATE TRIGGER mita_audit_entries_update BEFORE UPDATE ON mita_audit_entries
        WHEN {changed}
          OR OLD.erasure_id IS NOT NULL OR NEW.erasure_id IS NULL OR NEW.erasure_mac IS NULL
          OR NEW.user_id IS NOT NULL OR NEW.personal IS NOT NULL OR NEW.personal_key IS NOT NULL
        BEGIN SELECT RAISE(ABORT, 'mita_audit_entries is append-only; only an erasure may change an entry'); END
        """,
        """
        CREATE TRIGGER mita_audit_entries_delete BEFORE DELETE ON mita_audit_entries
        WHEN NOT EXISTS (SELECT 1 FROM mita_audit_tombstones t WHERE t.chain = OLD.chain
                         AND OLD.sequence BETWEEN t.first_sequence AND t.last_sequence)
        BEGIN SELECT RAISE(ABORT, 'mita_audit_entries is append-only; run: mita-otel retention apply'); END
        """,
        *(
            f"""
            CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table}
            BEGIN SELECT RAISE(ABORT, '{table} is append-only'); END
            """
            for table in ("mita_audit_tombstones", "mita_audit_erasures")
            for verb in ("UPDATE", "DELETE")
        ),
        """
        CREATE TRIGGER mita_legal_holds_delete BEFORE DELETE ON mita_legal_holds
        BEGIN SELECT RAISE(ABORT, 'mita_legal_holds is append-only; run: mita-otel retention release'); END
        """,
    ]


def _postgresql() -> list[str]:
    changed = " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in _KEPT)
    return [
        f"""
        CREATE FUNCTION mita_audit_entry_changed() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
          IF {changed}
             OR OLD.erasure_id IS NOT NULL OR NEW.erasure_id IS NULL OR NEW.erasure_mac IS NULL
             OR NEW.user_id IS NOT NULL OR NEW.personal IS NOT NULL OR NEW.personal_key IS NOT NULL THEN
            RAISE EXCEPTION 'mita_audit_entries is append-only; only an erasure may change an entry';
          END IF;
          RETURN NEW;
        END $$
        """,
        """
        CREATE FUNCTION mita_audit_entry_deleted() RETURNS trigger LANGUAGE plpgsql AS $$
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
        END $$
        """,
        """
        CREATE FUNCTION mita_append_only() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN RAISE EXCEPTION '% is append-only', TG_TABLE_NAME; END $$
        """,
        """
        CREATE TRIGGER mita_audit_entries_update BEFORE UPDATE ON mita_audit_entries
        FOR EACH ROW EXECUTE FUNCTION mita_audit_entry_changed()
        """,
        """
        CREATE TRIGGER mita_audit_entries_delete BEFORE DELETE ON mita_audit_entries
        FOR EACH ROW EXECUTE FUNCTION mita_audit_entry_deleted()
        """,
        *(
            f"""
            CREATE TRIGGER {table}_{verb.lower()} BEFORE {verb} ON {table}
            FOR EACH ROW EXECUTE FUNCTION mita_append_only()
            """
            for table in ("mita_audit_tombstones", "mita_audit_erasures")
            for verb in ("UPDATE", "DELETE")
        ),
        """
        CREATE TRIGGER mita_legal_holds_delete BEFORE DELETE ON mita_legal_holds
        FOR EACH ROW EXECUTE FUNCTION mita_append_only()
        """,
        *(
            f"""
            CREATE TRIGGER {table}_truncate BEFORE TRUNCATE ON {table}
            FOR EACH STATEMENT EXECUTE FUNCTION mita_append_only()
            """
            for table in (
                "mita_audit_entries",
                "mita_audit_tombstones",
                "mita_audit_erasures",
                "mita_legal_holds",
            )
        ),
    ]
