"""The tables of alerts: samples, alerts, queued notifications and silences."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import Boolean, Index
from sqlalchemy.orm import Mapped, mapped_column

from mita_otel.store.tables import PREFIX, Base, LongText, Name, Ns
from mita_otel.store.telemetry_tables import Id

Flag = Annotated[bool, mapped_column(Boolean)]


class AlertSampleRow(Base):
    """A sample: one event, or the spans of one process within a short interval."""

    __tablename__ = PREFIX + "alert_points"

    id: Mapped[Id]
    scope: Mapped[LongText]
    """The service and its environment."""
    rule: Mapped[LongText]
    subject: Mapped[LongText]
    at_ns: Mapped[Ns]
    hits: Mapped[Ns]
    total: Mapped[Ns]
    seen: Mapped[Flag]
    """Whether the rule has evaluated it."""
    sample: Mapped[LongText | None]
    """The exemplar, as JSON."""

    __table_args__ = (Index(None, "scope", "rule", "at_ns"), Index(None, "scope", "rule", "seen"))


class AlertRow(Base):
    """The state of a rule's alert about a subject."""

    __tablename__ = PREFIX + "alerts"

    id: Mapped[Name] = mapped_column(primary_key=True)
    scope: Mapped[LongText]
    rule: Mapped[LongText]
    subject: Mapped[LongText]
    open: Mapped[Flag]
    opened_ns: Mapped[Ns]
    seen_ns: Mapped[Ns]
    closed_ns: Mapped[Ns]
    acknowledged_ns: Mapped[Ns]
    acknowledged_by: Mapped[LongText]
    state: Mapped[LongText]
    """Further fields, as JSON."""

    __table_args__ = (Index(None, "scope", "open"),)


class AlertMessageRow(Base):
    """A notification that waits for delivery."""

    __tablename__ = PREFIX + "alert_messages"

    id: Mapped[Name] = mapped_column(primary_key=True)
    scope: Mapped[LongText]
    channel: Mapped[LongText]
    position: Mapped[Ns]
    """Order of delivery within a channel."""
    created_ns: Mapped[Ns]
    attempts: Mapped[Ns]
    due_ns: Mapped[Ns]
    body: Mapped[LongText]
    """JSON, redacted."""

    __table_args__ = (Index(None, "scope", "channel", "position"),)


class AlertSilenceRow(Base):
    """A silence; see `alerts.alert.Silence`."""

    __tablename__ = PREFIX + "alert_silences"

    id: Mapped[Name] = mapped_column(primary_key=True)
    scope: Mapped[LongText]
    rule: Mapped[LongText]
    subject: Mapped[LongText]
    from_ns: Mapped[Ns]
    until_ns: Mapped[Ns]
    by: Mapped[LongText]
    why: Mapped[LongText]

    __table_args__ = (Index(None, "scope", "until_ns"),)
