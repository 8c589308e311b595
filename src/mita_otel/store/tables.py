"""The models' base class, and the tables of the audit trail. Times are nanoseconds since the epoch (UTC)."""

from __future__ import annotations

from typing import Annotated, Final, cast

from sqlalchemy import BigInteger, Index, MetaData, String, Table, Text, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

PREFIX: Final = "mita_"
"""Prefix of all tables, so that they can share a database with a service's own."""

Ns = Annotated[int, mapped_column(BigInteger)]
Name = Annotated[str, mapped_column(String(64))]
Digest = Annotated[str, mapped_column(String(64))]
LongText = Annotated[str, mapped_column(Text)]


class Base(DeclarativeBase):
    """Base class of the models."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


def table_of(model: type[Base]) -> Table:
    """Return the table of a model, for statements without objects."""
    return cast("Table", model.__table__)


class AuditEntryRow(Base):
    """An audit entry. Rows are only inserted: triggers refuse all changes except erasure and purge.

    `body` is signed. Other columns repeat parts of it for searching, and verification compares them. An erasure removes
    `user_id`, `personal` and `personal_key`.
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
    """A signed record that a range of a chain was purged after its retention period. Never changed or deleted."""

    __tablename__ = PREFIX + "audit_tombstones"

    chain: Mapped[Name] = mapped_column(primary_key=True)
    first_sequence: Mapped[Ns] = mapped_column(primary_key=True, autoincrement=False)
    last_sequence: Mapped[Ns]
    previous: Mapped[Digest]
    """Signature of the entry before the range."""
    last_mac: Mapped[Digest]
    """Signature of the last entry of the range, which the next entry refers to."""
    first_recorded_ns: Mapped[Ns]
    last_recorded_ns: Mapped[Ns]
    purged_ns: Mapped[Ns]
    reason: Mapped[LongText]
    key_id: Mapped[Name]
    mac: Mapped[Digest]


class AuditErasureRow(Base):
    """A signed record that a person was erased. Never changed or deleted."""

    __tablename__ = PREFIX + "audit_erasures"

    id: Mapped[Name] = mapped_column(primary_key=True)
    erased_ns: Mapped[Ns]
    entries: Mapped[Ns]
    """Number of erased entries."""
    reason: Mapped[LongText]
    key_id: Mapped[Name]
    mac: Mapped[Digest]


class ErasedSubjectRow(Base):
    """Identifies an erased person in late entries from a spool. Deleted after a while."""

    __tablename__ = PREFIX + "erased_subjects"

    erasure_id: Mapped[Name] = mapped_column(primary_key=True)
    subject: Mapped[Digest]
    """Keyed digest of the person's id."""
    erased_ns: Mapped[Ns]
    key_id: Mapped[Name]


class LegalHoldRow(Base):
    """Data that must be kept beyond its retention period. Released, never deleted."""

    __tablename__ = PREFIX + "legal_holds"

    id: Mapped[Name] = mapped_column(primary_key=True)
    created_ns: Mapped[Ns]
    created_by: Mapped[LongText]
    reason: Mapped[LongText]
    data_class: Mapped[Name | None]
    """`audit`, `errors`, …; NULL: all."""
    user_id: Mapped[LongText | None]
    """Data of this person; NULL: of all."""
    from_ns: Mapped[Ns | None]
    until_ns: Mapped[Ns | None]
    """Exclusive; NULL: unlimited."""
    released_ns: Mapped[Ns | None]
    released_by: Mapped[LongText | None]
