"""The models' base, and the tables of the audit trail.

Times are nanoseconds since the epoch (UTC), as OpenTelemetry counts them.
"""

from __future__ import annotations

from typing import Annotated, Final, cast

from sqlalchemy import BigInteger, Index, MetaData, String, Table, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PREFIX: Final = "mita_"
"""All tables start with it, so that they can live beside a service's own."""

Ns = Annotated[int, mapped_column(BigInteger)]
Name = Annotated[str, mapped_column(String(64))]
Digest = Annotated[str, mapped_column(String(64))]
LongText = Annotated[str, mapped_column(Text)]


class Base(DeclarativeBase):
    """The models' base."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table_of(model: type[Base]) -> Table:
    """Return a model's table, for statements that need no objects."""
    return cast("Table", model.__table__)


class AuditEntryRow(Base):
    """An audit entry. Rows are only added: triggers refuse everything else but erasure and purge.

    `body` is what is signed; the columns beside it repeat parts of it for searching, and verification
    compares them. `user_id`, `personal` and `personal_key` are what an erasure takes away.
    """

    __tablename__ = PREFIX + "audit_entries"

    chain: Mapped[Name] = mapped_column(primary_key=True)
    sequence: Mapped[Ns] = mapped_column(primary_key=True, autoincrement=False)
    recorded_ns: Mapped[Ns]
    event_type: Mapped[Name]
    outcome: Mapped[Name]
    service: Mapped[LongText]
    user_id: Mapped[LongText | None]
    resource_type: Mapped[LongText | None]
    resource_id: Mapped[LongText | None]
    request_id: Mapped[LongText | None]
    trace_id: Mapped[LongText | None]
    body: Mapped[LongText]
    mac: Mapped[Digest]
    key_id: Mapped[Name]
    personal: Mapped[LongText | None]
    personal_key: Mapped[Name | None]
    erasure_id: Mapped[Name | None]
    erasure_mac: Mapped[Digest | None]

    __table_args__ = (
        Index(None, "recorded_ns"),
        Index(None, "event_type", "recorded_ns"),
        Index(
            None,
            "user_id",
            "recorded_ns",
            postgresql_where=text("user_id IS NOT NULL"),
            sqlite_where=text("user_id IS NOT NULL"),
        ),
        Index(
            None,
            "trace_id",
            postgresql_where=text("trace_id IS NOT NULL"),
            sqlite_where=text("trace_id IS NOT NULL"),
        ),
    )


class AuditTombstoneRow(Base):
    """Says, signed, that a stretch of a chain was purged when its time was up. Never changed, never deleted."""

    __tablename__ = PREFIX + "audit_tombstones"

    chain: Mapped[Name] = mapped_column(primary_key=True)
    first_sequence: Mapped[Ns] = mapped_column(primary_key=True, autoincrement=False)
    last_sequence: Mapped[Ns]
    previous: Mapped[Digest]
    """Signature of the entry before the stretch."""
    last_mac: Mapped[Digest]
    """Signature of the stretch's last entry: the next one names it."""
    first_recorded_ns: Mapped[Ns]
    last_recorded_ns: Mapped[Ns]
    purged_ns: Mapped[Ns]
    reason: Mapped[LongText]
    key_id: Mapped[Name]
    mac: Mapped[Digest]


class AuditErasureRow(Base):
    """Says, signed, that a person was erased. Never changed, never deleted."""

    __tablename__ = PREFIX + "audit_erasures"

    id: Mapped[Name] = mapped_column(primary_key=True)
    erased_ns: Mapped[Ns]
    entries: Mapped[Ns]
    """How many entries were erased then."""
    reason: Mapped[LongText]
    key_id: Mapped[Name]
    mac: Mapped[Digest]


class ErasedSubjectRow(Base):
    """Recognises, for a while, an erased person in what comes late from a spool. Then it is deleted as well."""

    __tablename__ = PREFIX + "erased_subjects"

    erasure_id: Mapped[Name] = mapped_column(primary_key=True)
    subject: Mapped[Digest]
    """Keyed digest of the person's id."""
    erased_ns: Mapped[Ns]
    key_id: Mapped[Name]


class LegalHoldRow(Base):
    """What must be kept although its time is up. Released, never deleted."""

    __tablename__ = PREFIX + "legal_holds"

    id: Mapped[Name] = mapped_column(primary_key=True)
    created_ns: Mapped[Ns]
    created_by: Mapped[LongText]
    reason: Mapped[LongText]
    data_class: Mapped[Name | None]
    """`audit`, `errors`, …; none: all."""
    user_id: Mapped[LongText | None]
    """Of this person; none: of everybody."""
    from_ns: Mapped[Ns | None]
    until_ns: Mapped[Ns | None]
    """Not including; none: for ever."""
    released_ns: Mapped[Ns | None]
    released_by: Mapped[LongText | None]
