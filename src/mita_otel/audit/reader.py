"""Reads the audit trail. Each read is itself recorded (PCI DSS 10.2.1.3)."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import Row, Select, select, tuple_

from mita_otel.audit.canonical import subject_digest
from mita_otel.audit.draft import restore
from mita_otel.audit.event import AuditEvent, AuditEventType, check_event_type, check_outcome
from mita_otel.audit.trail import AuditTrail
from mita_otel.store.database import Database
from mita_otel.store.migrate import require
from mita_otel.store.tables import AuditEntryRow as Table

_PAGE: Final = 1000
_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """An entry of the trail."""

    chain: str
    sequence: int
    recorded_at: datetime
    """When it was recorded, UTC."""
    event_type: str
    outcome: str
    user_id: str | None
    """Who did it. None: no user, or erased."""
    client_address: str | None
    service: str
    host: str
    environment: str
    process: int
    resource_type: str | None
    resource_id: str | None
    details: Mapping[str, Any] | None
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None
    request_id: str | None
    trace_id: str | None
    span_id: str | None
    occurred_at: datetime | None
    """When it happened, if the service gave a time."""
    mac: str
    erasure_id: str | None
    """Not None: the person was erased. All entries with the same id were about the same person."""

    def as_dict(self) -> dict[str, Any]:
        """Return the entry as JSON values; times in ISO 8601."""
        fields = asdict(self)
        for name in ("recorded_at", "occurred_at"):
            moment = fields[name]
            fields[name] = None if moment is None else moment.isoformat()
        return fields


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditFilter:
    """Selects entries."""

    user_id: str | None = None
    event_types: tuple[str, ...] = ()
    """Entries of any of these types. Empty: all."""
    outcome: str | None = None
    service: str | None = None
    resource_id: str | None = None
    request_id: str | None = None
    trace_id: str | None = None
    since_ns: int | None = None
    """Nanoseconds since the epoch."""
    until_ns: int | None = None
    """Nanoseconds since the epoch, exclusive."""

    def __post_init__(self) -> None:
        for name in self.event_types:
            check_event_type(name)
        if self.outcome is not None:
            check_outcome(self.outcome)


class AuditReader:
    """Reads entries.

    Args:
        open_database: Opens the store. Called on first use.
        trail: Records the reads. It is flushed before each read, so that a process reads its own entries.
        migrate: Whether missing tables may be created.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        open_database: Callable[[], Database],
        trail: AuditTrail,
        *,
        migrate: bool,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._open_database = open_database
        self._trail = trail
        self._migrate = migrate
        self._clock_ns = clock_ns
        self._database: Database | None = None

    def recent(
        self, wanted: AuditFilter, *, hours_back: float | None, limit: int, reader: str | None
    ) -> list[AuditEntry]:
        """Return the newest entries, oldest first.

        Args:
            wanted: Selects entries.
            hours_back: Maximum age in hours. None: any age.
            limit: Maximum number of entries.
            reader: Who reads.

        Raises:
            StoreUnavailableError: The database does not answer.
            AuditWriteError: The read could not be recorded, so it is refused.
        """
        if hours_back is not None:
            wanted = replace(wanted, since_ns=self._clock_ns() - int(hours_back * 3600 * _SECOND))
        entries = self.unrecorded(wanted, limit=limit)
        self._record(AuditEventType.AUDIT_READ, self._as_written(wanted), len(entries), reader)
        return entries

    def unrecorded(self, wanted: AuditFilter, *, limit: int) -> list[AuditEntry]:
        """Return the newest entries, oldest first, without recording: part of a read that was recorded."""
        newest = _select(self._as_written(wanted)).order_by(
            Table.recorded_ns.desc(), Table.chain.desc(), Table.sequence.desc()
        )
        with self._prepared().read() as connection:
            return [entry_of(row) for row in connection.execute(newest.limit(limit))][::-1]

    def all(self, wanted: AuditFilter, *, reader: str | None) -> Iterator[AuditEntry]:
        """Yield all entries, oldest first, page by page. The export is recorded before the first entry."""
        wanted = self._as_written(wanted)
        database = self._prepared()
        self._record(AuditEventType.AUDIT_EXPORT, wanted, None, reader)
        order = (Table.recorded_ns, Table.chain, Table.sequence)
        page = _select(wanted).order_by(*order).limit(_PAGE)
        after: tuple[int, str, int] | None = None
        while True:
            with database.read() as connection:
                rows = connection.execute(page if after is None else page.where(tuple_(*order) > after)).all()
            yield from map(entry_of, rows)
            if len(rows) < _PAGE:
                return
            after = rows[-1].recorded_ns, rows[-1].chain, rows[-1].sequence

    def _prepared(self) -> Database:
        self._trail.flush(self._trail.policy.mover.read_wait_s)
        if self._database is None:
            database = self._open_database()
            require(database, migrate=self._migrate)
            self._database = database
        return self._database

    def _as_written(self, wanted: AuditFilter) -> AuditFilter:
        return (
            wanted if wanted.user_id is None else replace(wanted, user_id=self._trail.user_id(wanted.user_id))
        )

    def _record(
        self, event_type: AuditEventType, wanted: AuditFilter, entries: int | None, reader: str | None
    ) -> None:
        criteria = {name: value for name, value in asdict(wanted).items() if value not in (None, ())}
        if wanted.user_id is not None:
            # The id in the filter belongs to the person who was looked up: it must not survive their erasure.
            criteria["user_id"] = "~" + subject_digest(self._trail.keys, wanted.user_id)[:16]
        self._trail.record(
            AuditEvent(
                event_type=event_type,
                user_id=reader,
                resource_type="audit_trail",
                details={"filter": criteria, "entries": entries},
            )
        )


def entry_of(row: Row[Any]) -> AuditEntry:
    """Return the entry of a row."""
    fields: dict[str, Any] = orjson.loads(row.body)
    personal: dict[str, Any] = orjson.loads(row.personal) if row.personal else {}
    restore(fields, personal.get("fields", ()))
    occurred_ns = fields.get("occurred_ns")
    return AuditEntry(
        chain=row.chain,
        sequence=row.sequence,
        recorded_at=moment(row.recorded_ns),
        event_type=row.event_type,
        outcome=row.outcome,
        user_id=personal.get("user_id"),
        client_address=personal.get("client_address"),
        service=row.service,
        host=fields.get("host", ""),
        environment=fields.get("environment", ""),
        process=fields.get("process", 0),
        resource_type=fields.get("resource_type"),
        resource_id=fields.get("resource_id"),
        details=fields.get("details"),
        before=fields.get("before"),
        after=fields.get("after"),
        request_id=fields.get("request_id"),
        trace_id=fields.get("trace_id"),
        span_id=fields.get("span_id"),
        occurred_at=None if occurred_ns is None else moment(occurred_ns),
        mac=row.mac,
        erasure_id=row.erasure_id,
    )


def moment(ns: int) -> datetime:
    """Return nanoseconds since the epoch as a time, UTC, to the microsecond."""
    seconds, rest = divmod(ns, _SECOND)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 1000)


def _select(wanted: AuditFilter) -> Select[Any]:
    statement = select(Table.__table__)
    for column, value in (
        (Table.user_id, wanted.user_id),
        (Table.outcome, wanted.outcome),
        (Table.service, wanted.service),
        (Table.resource_id, wanted.resource_id),
        (Table.request_id, wanted.request_id),
        (Table.trace_id, wanted.trace_id),
    ):
        if value is not None:
            statement = statement.where(column == value)
    if wanted.event_types:
        statement = statement.where(Table.event_type.in_(wanted.event_types))
    if wanted.since_ns is not None:
        statement = statement.where(Table.recorded_ns >= wanted.since_ns)
    if wanted.until_ns is not None:
        statement = statement.where(Table.recorded_ns < wanted.until_ns)
    return statement


_MAX_DELAY: Final = timedelta(minutes=10)
"""How long an entry may wait in a spool and is still shown."""
_MAX_ENTRIES: Final = 10_000
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Follower:
    """Returns entries that arrived since the last call, each once.

    Each process moves its entries to the database at its own pace, so that the entry with the newest time is not
    the one that arrived last.

    Args:
        reader: Reads the trail. The read was recorded.
        shown: The entries that were shown, oldest first.
    """

    def __init__(self, reader: AuditReader, shown: Sequence[AuditEntry]) -> None:
        self._reader = reader
        self._newest = shown[-1].recorded_at if shown else _EPOCH
        self._seen = {_key(one): one.recorded_at for one in shown}
        if shown:
            self._seen |= {
                _key(one): one.recorded_at
                for one in self._recent_entries()
                if one.recorded_at <= self._newest
            }

    def newer(self) -> list[AuditEntry]:
        """Return the entries that arrived since the last call, oldest first."""
        found = [one for one in self._recent_entries() if _key(one) not in self._seen]
        self._seen |= {_key(one): one.recorded_at for one in found}
        self._newest = max([self._newest, *(one.recorded_at for one in found)])
        oldest = self._oldest()
        self._seen = {place: at for place, at in self._seen.items() if at >= oldest}
        return found

    def _oldest(self) -> datetime:
        return max(_EPOCH, self._newest - _MAX_DELAY)

    def _recent_entries(self) -> list[AuditEntry]:
        since_ns = (self._oldest() - _EPOCH) // timedelta(microseconds=1) * 1000
        return self._reader.unrecorded(AuditFilter(since_ns=since_ns), limit=_MAX_ENTRIES)


def _key(entry: AuditEntry) -> tuple[str, int]:
    return entry.chain, entry.sequence
