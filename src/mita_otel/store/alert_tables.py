"""The tables of alerts: what was counted, the alerts, their messages, and silences."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import Boolean, Index
from sqlalchemy.orm import Mapped, mapped_column

from mita_otel.store.tables import PREFIX, Base, LongText, Name, Ns
from mita_otel.store.telemetry_tables import Id

Flag = Annotated[bool, mapped_column(Boolean)]


class AlertPointRow(Base):
    """Something that a rule counted: one event, or a short while's spans of one process."""

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
    """Whether the rule has been looked at since."""
    sample: Mapped[LongText | None]
    """JSON."""

    __table_args__ = (Index(None, "scope", "rule", "at_ns"), Index(None, "scope", "rule", "seen"))


class AlertRow(Base):
    """The state of a rule about a subject."""

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
    """JSON: the rest."""

    __table_args__ = (Index(None, "scope", "open"),)


class AlertMessageRow(Base):
    """A message that waits for its delivery."""

    __tablename__ = PREFIX + "alert_messages"

    id: Mapped[Name] = mapped_column(primary_key=True)
    scope: Mapped[LongText]
    channel: Mapped[LongText]
    position: Mapped[Ns]
    """Messages of a channel are delivered in this order."""
    created_ns: Mapped[Ns]
    attempts: Mapped[Ns]
    due_ns: Mapped[Ns]
    body: Mapped[LongText]
    """JSON, redacted."""

    __table_args__ = (Index(None, "scope", "channel", "position"),)


class AlertSilenceRow(Base):
    """For a while nobody is told of some alerts."""

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
