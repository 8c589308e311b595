"""The tables of telemetry: errors, breaches, latency windows, redactions, spans and leases; and those of alerts."""

from __future__ import annotations

from typing import Annotated

from sqlalchemy import BigInteger, Boolean, Float, Index, Integer, LargeBinary, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from mita_otel.store.tables import PREFIX, Base, LongText, Name, Ns

Id = Annotated[
    int, mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True, autoincrement=True)
]
Number = Annotated[float, mapped_column(Float(53))]
Flag = Annotated[bool, mapped_column(Boolean)]


class ErrorRow(Base):
    """An error, a security event or a compliance event, redacted."""

    __tablename__ = PREFIX + "errors"

    id: Mapped[Id]
    occurred_ns: Mapped[Ns]
    kind: Mapped[Name]
    """`error`, `security` or `compliance`."""
    service: Mapped[LongText]
    environment: Mapped[LongText]
    event_id: Mapped[Name | None]
    """The id that all exporters use."""
    category: Mapped[LongText]
    severity: Mapped[Name]
    name: Mapped[LongText]
    """Type of the exception or of the event."""
    message: Mapped[LongText]
    operation: Mapped[LongText | None]
    user_id: Mapped[LongText | None]
    transaction_id: Mapped[LongText | None]
    request_id: Mapped[LongText | None]
    trace_id: Mapped[LongText | None]
    span_id: Mapped[LongText | None]
    details: Mapped[LongText]
    """JSON."""

    __table_args__ = (
        Index(None, "occurred_ns"),
        Index(None, "kind", "occurred_ns"),
        Index(None, "user_id"),
    )


class BreachRow(Base):
    """A span that exceeded its limit."""

    __tablename__ = PREFIX + "breaches"

    id: Mapped[Id]
    occurred_ns: Mapped[Ns]
    """End of the span."""
    service: Mapped[LongText]
    environment: Mapped[LongText]
    kind: Mapped[Name]
    rule: Mapped[LongText]
    name: Mapped[LongText]
    """Name of the span."""
    duration_ms: Mapped[Number]
    limit_ms: Mapped[Number]
    trace_id: Mapped[Name]
    span_id: Mapped[Name]

    __table_args__ = (Index(None, "occurred_ns"), Index(None, "rule", "occurred_ns"))


class LatencyWindowRow(Base):
    """The spans of one operation that ended within one window, of one process or added up over several."""

    __tablename__ = PREFIX + "latency_windows"

    id: Mapped[Id]
    start_s: Mapped[Ns]
    """Seconds since the epoch."""
    length_s: Mapped[Ns]
    """Seconds: a minute when recorded; an hour or a day after a roll-up."""
    service: Mapped[LongText]
    environment: Mapped[LongText]
    kind: Mapped[Name]
    operation: Mapped[LongText]
    rule: Mapped[LongText | None]
    limit_ms: Mapped[Number | None]
    count: Mapped[Ns]
    errors: Mapped[Ns]
    breaches: Mapped[Ns]
    total_ms: Mapped[Number]
    min_ms: Mapped[Number]
    max_ms: Mapped[Number]
    sketch: Mapped[Annotated[bytes, mapped_column(LargeBinary)]]
    slowest: Mapped[LongText]
    """JSON."""

    __table_args__ = (Index(None, "length_s", "start_s"), Index(None, "start_s"))


class RedactionRow(Base):
    """Number of values that a rule redacted within an hour."""

    __tablename__ = PREFIX + "redactions"

    id: Mapped[Id]
    hour_ns: Mapped[Ns]
    service: Mapped[LongText]
    environment: Mapped[LongText]
    rule: Mapped[LongText]
    count: Mapped[Ns]

    __table_args__ = (UniqueConstraint("hour_ns", "service", "environment", "rule"),)


class SpanRow(Base):
    """A redacted span of a kept trace."""

    __tablename__ = PREFIX + "spans"

    trace_id: Mapped[Name] = mapped_column(primary_key=True)
    span_id: Mapped[Name] = mapped_column(primary_key=True)
    parent_span_id: Mapped[Name | None]
    service: Mapped[LongText]
    environment: Mapped[LongText]
    name: Mapped[LongText]
    kind: Mapped[Name]
    start_ns: Mapped[Ns]
    end_ns: Mapped[Ns]
    duration_ms: Mapped[Number]
    failed: Mapped[Annotated[bool, mapped_column(Boolean)]]
    exceeded: Mapped[Annotated[bool, mapped_column(Boolean)]]
    user_id: Mapped[LongText | None]
    record: Mapped[LongText]
    """JSON, as the `file` exporter writes it."""

    __table_args__ = (Index(None, "start_ns"), Index(None, "user_id"))


class LeaseRow(Base):
    """A lease; see `lease.Lease`."""

    __tablename__ = PREFIX + "leases"

    name: Mapped[Name] = mapped_column(primary_key=True)
    holder: Mapped[LongText]
    until_ns: Mapped[Ns]


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
