"""Alerts: samples, states, queued notifications, silences."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003_alerts"
down_revision = "0002_telemetry"
branch_labels = None
depends_on = None

_INDEXES: dict[str, list[list[str]]] = {
    "alert_points": [["scope", "rule", "at_ns"], ["scope", "rule", "seen"]],
    "alerts": [["scope", "open"]],
    "alert_messages": [["scope", "channel", "position"]],
    "alert_silences": [["scope", "until_ns"]],
}
"""The tables and their indexes."""


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "mita_alert_points",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        _text("scope"),
        _text("rule"),
        _text("subject"),
        _number("at_ns"),
        _number("hits"),
        _number("total"),
        _flag("seen"),
        _text("sample", nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_mita_alert_points"),
    )
    op.create_table(
        "mita_alerts",
        _name("id"),
        _text("scope"),
        _text("rule"),
        _text("subject"),
        _flag("open"),
        _number("opened_ns"),
        _number("seen_ns"),
        _number("closed_ns"),
        _number("acknowledged_ns"),
        _text("acknowledged_by"),
        _text("state"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_alerts"),
    )
    op.create_table(
        "mita_alert_messages",
        _name("id"),
        _text("scope"),
        _text("channel"),
        _number("position"),
        _number("created_ns"),
        _number("attempts"),
        _number("due_ns"),
        _text("body"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_alert_messages"),
    )
    op.create_table(
        "mita_alert_silences",
        _name("id"),
        _text("scope"),
        _text("rule"),
        _text("subject"),
        _number("from_ns"),
        _number("until_ns"),
        _text("by"),
        _text("why"),
        sa.PrimaryKeyConstraint("id", name="pk_mita_alert_silences"),
    )
    for table, indexes in _INDEXES.items():
        for columns in indexes:
            op.create_index(f"ix_mita_{table}_{'_'.join(columns)}", f"mita_{table}", columns)


def downgrade() -> None:
    """Drop the tables."""
    for table in reversed(_INDEXES):
        op.drop_table(f"mita_{table}")


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), nullable=False)


def _flag(name: str) -> sa.Column[bool]:
    return sa.Column(name, sa.Boolean(), nullable=False)


def _name(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.String(64), nullable=False)


def _text(name: str, *, nullable: bool = False) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=nullable)
