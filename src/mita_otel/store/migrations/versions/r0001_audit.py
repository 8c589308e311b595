"""The audit trail: entries, tombstones, erasures, legal holds, and the triggers that protect them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from mita_otel.store.append_only import postgresql_functions, postgresql_triggers, sqlite_triggers

revision = "0001_audit"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables and their triggers."""
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
        sa.Column("erased_ns", sa.BigInteger(), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.Column("mac", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_mita_audit_erasures"),
    )
    op.create_table(
        "mita_erased_subjects",
        sa.Column("erasure_id", sa.String(64), nullable=False),
        sa.Column("subject", sa.String(64), nullable=False),
        sa.Column("erased_ns", sa.BigInteger(), nullable=False),
        sa.Column("key_id", sa.String(64), nullable=False),
        sa.PrimaryKeyConstraint("erasure_id", name="pk_mita_erased_subjects"),
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
    if op.get_bind().dialect.name == "sqlite":
        statements = list(sqlite_triggers().values())
    else:
        functions = postgresql_functions().items()
        statements = [
            f"CREATE FUNCTION {name}() RETURNS trigger LANGUAGE plpgsql AS $${body}$$"
            for name, body in functions
        ]
        statements += postgresql_triggers().values()
    for statement in statements:
        op.get_bind().exec_driver_sql(statement.replace("%", "%%") if "%" in statement else statement)


def downgrade() -> None:
    """Drop the tables, with the audit trail in them."""
    for table in (
        "mita_legal_holds",
        "mita_erased_subjects",
        "mita_audit_erasures",
        "mita_audit_tombstones",
        "mita_audit_entries",
    ):
        op.drop_table(table)
    if op.get_bind().dialect.name != "sqlite":
        for function in postgresql_functions():
            op.execute(f"DROP FUNCTION {function}()")
