"""Errors, breaches, latency windows, redactions, kept traces; leases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002_telemetry"
down_revision = "0001_audit"
branch_labels = None
depends_on = None

_TABLES: dict[str, list[list[str]]] = {
    "errors": [["occurred_ns"], ["kind", "occurred_ns"], ["user_id"]],
    "breaches": [["occurred_ns"], ["rule", "occurred_ns"]],
    "latency_windows": [["length_s", "start_s"], ["start_s"]],
    "redactions": [],
    "spans": [["start_ns"], ["user_id"]],
    "leases": [],
}
"""The tables and their indexes."""


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "mita_errors",
        _id(),
        _number("occurred_ns"),
        _name("kind"),
        _text("service"),
        _text("environment"),
        _name("event_id", nullable=True),
        _text("category"),
        _name("severity"),
        _text("name"),
        _text("message"),
        _text("operation", nullable=True),
        _text("user_id", nullable=True),
        _text("transaction_id", nullable=True),
        _text("request_id", nullable=True),
        _text("trace_id", nullable=True),
        _text("span_id", nullable=True),
        _text("details"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_errors"),
    )
    op.create_table(
        "mita_breaches",
        _id(),
        _number("occurred_ns"),
        _text("service"),
        _text("environment"),
        _name("kind"),
        _text("rule"),
        _text("name"),
        _float("duration_ms"),
        _float("limit_ms"),
        _name("trace_id"),
        _name("span_id"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_breaches"),
    )
    op.create_table(
        "mita_latency_windows",
        _id(),
        _number("start_s"),
        _number("length_s"),
        _text("service"),
        _text("environment"),
        _name("kind"),
        _text("operation"),
        _text("rule", nullable=True),
        _float("limit_ms", nullable=True),
        _number("count"),
        _number("errors"),
        _number("breaches"),
        _float("total_ms"),
        _float("min_ms"),
        _float("max_ms"),
        sa.Column("sketch", sa.LargeBinary(), nullable=False),
        _text("slowest"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_latency_windows"),
    )
    op.create_table(
        "mita_redactions",
        _id(),
        _number("hour_ns"),
        _text("service"),
        _text("environment"),
        _text("rule"),
        _number("count"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_redactions"),
        sa.UniqueConstraint(
            "hour_ns",
            "service",
            "environment",
            "rule",
            name="uq_mita_redactions_hour_ns_service_environment_rule",
        ),
    )
    op.create_table(
        "mita_spans",
        _name("trace_id"),
        _name("span_id"),
        _name("parent_span_id", nullable=True),
        _text("service"),
        _text("environment"),
        _text("name"),
        _name("kind"),
        _number("start_ns"),
        _number("end_ns"),
        _float("duration_ms"),
        sa.Column("failed", sa.Boolean(), nullable=False),
        sa.Column("exceeded", sa.Boolean(), nullable=False),
        _text("user_id", nullable=True),
        _text("record"),
        sa.PrimaryKeyConstraint("trace_id", "span_id", name="pk_mita_spans"),
    )
    op.create_table(
        "mita_leases",
        _name("name"),
        _text("holder"),
        _number("until_ns"),
        sa.PrimaryKeyConstraint("name", name="pk_mita_leases"),
    )
    for table, indexes in _TABLES.items():
        for columns in indexes:
            op.create_index(f"ix_mita_{table}_{'_'.join(columns)}", f"mita_{table}", columns)


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(_TABLES):
        op.drop_table(f"mita_{table}")


def _id() -> sa.Column[int]:
    kind = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
    return sa.Column("id", kind, autoincrement=True, nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _float(name: str, *, nullable: bool = False) -> sa.Column[float]:
    return sa.Column(name, sa.Float(53), nullable=nullable)


def _name(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=nullable)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)
