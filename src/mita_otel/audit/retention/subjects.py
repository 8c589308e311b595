"""Exports the data of a person, and erases the person; all chains stay valid."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Table, bindparam, delete, func, select, update
from sqlalchemy.engine import Connection

from mita_otel.audit.canonical import (
    erased_entry_message,
    erased_subject_seal,
    erasure_message,
    subject_digest,
)
from mita_otel.audit.event import AuditEvent, AuditEventType
from mita_otel.audit.reader import entry_of
from mita_otel.audit.retention.holds import LegalHoldError, read_holds
from mita_otel.audit.trail import AuditTrail
from mita_otel.audit.verification.erasures import SUBJECT_SEAL
from mita_otel.store.database import Database
from mita_otel.store.tables import AuditEntryRow, AuditErasureRow, ErasedSubjectRow, LegalHoldRow, table_of
from mita_otel.store.telemetry_tables import ErrorRow, SpanRow

_ENTRIES: Final = table_of(AuditEntryRow)
_ERASURES: Final = table_of(AuditErasureRow)
_SUBJECTS: Final = table_of(ErasedSubjectRow)
_HOLDS: Final = table_of(LegalHoldRow)
_ERRORS: Final = table_of(ErrorRow)
_SPANS: Final = table_of(SpanRow)
_PAGE: Final = 1000


@dataclass(frozen=True, slots=True)
class Erased:
    """The result of an erasure."""

    erasure_id: str
    """All entries with this id were about the same person."""
    entries: int
    """Audit entries whose personal part was erased."""
    errors: int
    """Errors that no longer name the person."""
    spans: int
    """Deleted spans."""


class Subjects:
    """Exports the data of persons, and erases persons.

    Args:
        database: The store.
        trail: Records both. Its keys sign the erasure.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self, database: Database, trail: AuditTrail, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._database = database
        self._trail = trail
        self._clock_ns = clock_ns

    def export(self, user_id: str, *, by: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield all data about a person as JSON values, each with a `kind`.

        The export is recorded in the trail before the first value.
        """
        written = self._written(user_id)
        self._trail.flush(self._trail.policy.mover.read_wait_s)
        self._record(AuditEventType.SUBJECT_EXPORT, by, {"subject": "~" + self._digest(written)[:16]})
        for table in (_ENTRIES, _ERRORS, _SPANS):
            yield from self._rows(table, written)

    def erase(self, user_id: str, *, reason: str, by: str | None = None) -> Erased:
        """Erase a person: their id, addresses, personal details, and the keys of their commitments.

        Audit entries keep everything that is not personal, and every chain still verifies. Entries that wait in a
        spool are erased when they reach the database. Backups are your responsibility.

        Args:
            user_id: The person.
            reason: Why, for example the number of the request. It must not name the person.
            by: Who does it.

        Raises:
            LegalHoldError: A legal hold covers the person.
        """
        written = self._written(user_id)
        self._trail.flush(self._trail.policy.mover.read_wait_s)
        erasure_id = f"person-{secrets.token_hex(8)}"
        with self._database.write() as connection:
            self._refuse_if_held(connection, written)
            if not self._database.is_sqlite:
                # No entry of the person may be inserted between this count and the commit.
                connection.exec_driver_sql(f"LOCK TABLE {_ENTRIES.name} IN SHARE ROW EXCLUSIVE MODE")
            count = connection.execute(
                select(func.count()).select_from(_ENTRIES).where(_ENTRIES.c.user_id == written)
            ).scalar_one()
            self._note(connection, erasure_id, written, count, reason)
            entries = self._erase_entries(connection, erasure_id, written)
            errors = self._erase_errors(connection, erasure_id, written)
            spans = sum(
                # Spans without a user first: SQLite finds the person's traces while it deletes.
                connection.execute(delete(_SPANS).where(which, _of_person(_SPANS, written))).rowcount
                for which in (_SPANS.c.user_id.is_(None), _SPANS.c.user_id == written)
            )
            # Released holds only: a hold in force has refused the erasure above.
            connection.execute(update(_HOLDS).where(_HOLDS.c.user_id == written).values(user_id=erasure_id))
        erased = Erased(erasure_id, entries, errors, spans)
        subject = SimpleNamespace(erasure_id=erasure_id, subject=self._digest(written))
        self._record(
            AuditEventType.SUBJECT_ERASE,
            by,
            {
                "erasure": erasure_id,
                "entries": entries,
                "errors": errors,
                "spans": spans,
                "reason": reason,
                SUBJECT_SEAL: erased_subject_seal(self._trail.keys, subject),
            },
        )
        return erased

    def _written(self, user_id: str) -> str:
        return self._trail.user_id(user_id) or user_id

    def _digest(self, written: str) -> str:
        return subject_digest(self._trail.keys, written)

    def _refuse_if_held(self, connection: Connection, written: str) -> None:
        for hold in read_holds(connection):
            if any(hold.covers(data_class=name, user_id=written) for name in ("audit", "errors", "debug")):
                raise LegalHoldError(
                    f"the legal hold {hold.id} ({hold.reason}) covers this person, so nothing is erased. "
                    f"To end the hold: mita-otel retention release {hold.id}"
                )

    def _note(self, connection: Connection, erasure_id: str, written: str, entries: int, reason: str) -> None:
        keys = self._trail.keys
        fields: dict[str, Any] = {
            "id": erasure_id,
            "erased_ns": self._clock_ns(),
            "entries": entries,
            "reason": reason,
            "key_id": keys.current_id,
        }
        fields["mac"] = keys.sign("erasure", erasure_message(SimpleNamespace(**fields)))
        connection.execute(_ERASURES.insert().values(**fields))
        connection.execute(
            _SUBJECTS.insert().values(
                erasure_id=erasure_id,
                subject=self._digest(written),
                erased_ns=fields["erased_ns"],
                key_id=keys.current_id,
            )
        )

    def _erase_entries(self, connection: Connection, erasure_id: str, written: str) -> int:
        of_person = (
            select(_ENTRIES.c.chain, _ENTRIES.c.sequence).where(_ENTRIES.c.user_id == written).limit(_PAGE)
        )
        change = (
            update(_ENTRIES)
            .where(_ENTRIES.c.chain == bindparam("of_chain"), _ENTRIES.c.sequence == bindparam("at"))
            .values(
                user_id=None,
                personal=None,
                personal_key=None,
                erasure_id=erasure_id,
                erasure_mac=bindparam("proof"),
            )
        )
        erased = 0
        while rows := connection.execute(of_person).all():
            connection.execute(
                change,
                [
                    {
                        "of_chain": row.chain,
                        "at": row.sequence,
                        "proof": self._trail.keys.sign(
                            "erased-entry", erased_entry_message(erasure_id, row.chain, row.sequence)
                        ),
                    }
                    for row in rows
                ],
            )
            erased += len(rows)
        return erased

    def _erase_errors(self, connection: Connection, erasure_id: str, written: str) -> int:
        details = orjson.dumps({"erased": erasure_id}).decode()
        return connection.execute(
            update(_ERRORS)
            .where(_ERRORS.c.user_id == written)
            .values(
                user_id=None,
                details=details,
                message=func.replace(_ERRORS.c.message, written, "[erased]"),
            )
        ).rowcount

    def _rows(self, table: Table, written: str) -> Iterator[dict[str, Any]]:
        keys = list(table.primary_key)
        rows = select(table).where(_of_person(table, written)).order_by(*keys)
        with self._database.read() as connection:
            for row in connection.execution_options(yield_per=_PAGE).execute(rows):
                yield _json_row(table, row)

    def _record(self, event_type: AuditEventType, by: str | None, details: dict[str, Any]) -> None:
        self._trail.record(
            AuditEvent(event_type=event_type, user_id=by, resource_type="person", details=details)
        )


def _of_person(table: Table, written: str) -> ColumnElement[bool]:
    """Return the condition that a row is about a person. Of their traces, this includes all spans without a user."""
    theirs = table.c.user_id == written
    if table is not _SPANS:
        return theirs
    traces = select(_SPANS.c.trace_id).where(theirs)
    return theirs | (_SPANS.c.user_id.is_(None) & _SPANS.c.trace_id.in_(traces))


def _json_row(table: Table, row: Any) -> dict[str, Any]:
    if table is _ENTRIES:
        return {"kind": "audit", **entry_of(row).as_dict()}
    if table is _SPANS:
        return {"kind": "span", **orjson.loads(row.record)}
    return {"kind": "error", **row._mapping, "details": orjson.loads(row.details)}
