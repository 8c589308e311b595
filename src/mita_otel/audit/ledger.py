"""The audit tables of the database: entries are inserted once, in order, and never changed."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import func, insert, select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from mita_otel.audit.anchors import Anchor
from mita_otel.audit.canonical import UNKEYED, AuditKeys, erased_entry_message, subject_digest
from mita_otel.audit.chain import SealedEntry
from mita_otel.audit.errors import ChainConflictError, EntriesDiscardedError
from mita_otel.store.database import Database
from mita_otel.store.migrate import require
from mita_otel.store.tables import AuditEntryRow, ErasedSubjectRow, table_of

_logger = logging.getLogger("mita_otel.audit")


class Ledger:
    """The audit tables.

    Args:
        database: The store.
        keys: Recognise erased persons.
        migrate: Whether missing tables may be created.
    """

    def __init__(self, database: Database, keys: AuditKeys, *, migrate: bool) -> None:
        self.database = database
        self._keys = keys
        self._migrate = migrate
        self._ready = False

    def add(self, entries: Sequence[SealedEntry], *, may_be_there: bool = False) -> None:
        """Insert entries of one chain, in order. Entries that exist are not inserted again.

        Args:
            entries: The entries.
            may_be_there: Whether to look for existing ones first: another mover may have inserted some.

        Raises:
            StoreUnavailableError: The database does not answer. Nothing is lost; try again.
            ChainConflictError: The database has a different entry at the same position.
            EntriesDiscardedError: The database confirmed the insert, but does not have the entries.
        """
        self._prepare()
        rows = [entry_row(entry) for entry in entries]
        if may_be_there and rows:
            rows = self._missing(rows)
        try:
            self._insert(rows)
        except IntegrityError:
            # Two movers ran at once (file locks do not work on some network file systems), or a reply was lost.
            self._insert(self._missing(rows))
        if rows and (missing := self._missing(rows)):
            # A trigger or a rule can discard an insert that the database confirms.
            raise EntriesDiscardedError(
                f"the database confirmed the insert of audit entries but does not have {len(missing)} of {len(rows)} "
                f"(chain {rows[0]['chain']}, {missing[0]['sequence']} to {missing[-1]['sequence']}); look for triggers "
                f"and rules on {AuditEntryRow.__tablename__}, and run: mita-otel audit verify"
            )

    def missing(self, entries: Sequence[SealedEntry]) -> list[SealedEntry]:
        """Return those entries of one chain that the database does not have.

        Raises:
            StoreUnavailableError: The database does not answer.
            ChainConflictError: The database has a different entry at the same position.
        """
        if not entries:
            return []
        missing = {row["sequence"] for row in self._missing([entry_row(entry) for entry in entries])}
        return [entry for entry in entries if entry.fields["sequence"] in missing]

    def _prepare(self) -> None:
        if not self._ready:
            require(self.database, migrate=self._migrate)
            self._ready = True

    def _insert(self, rows: list[dict[str, Any]]) -> None:
        if rows:
            with self.database.write() as connection:
                self._erase_again(connection, rows)
                connection.execute(insert(AuditEntryRow), rows)

    def _erase_again(self, connection: Connection, rows: list[dict[str, Any]]) -> None:
        """Erase the personal part of persons who were erased while their entries waited in the spool."""
        personal = [row for row in rows if row["user_id"] is not None]
        oldest = min((row["recorded_ns"] for row in personal), default=0)
        table = table_of(ErasedSubjectRow)
        for erasure in (
            connection.execute(select(table).where(table.c.erased_ns >= oldest)) if personal else ()
        ):
            if not self._keys.knows(erasure.key_id):
                continue
            for row in personal:
                if (
                    row["recorded_ns"] <= erasure.erased_ns
                    and row["user_id"] is not None
                    and subject_digest(self._keys, row["user_id"], erasure.key_id) == erasure.subject
                ):
                    message = erased_entry_message(erasure.erasure_id, row["chain"], row["sequence"])
                    row.update(
                        user_id=None,
                        personal=None,
                        personal_key=None,
                        erasure_id=erasure.erasure_id,
                        erasure_mac=self._keys.sign("erased-entry", message, erasure.key_id),
                    )

    def _missing(self, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        table, chain = AuditEntryRow, rows[0]["chain"]
        with self.database.read() as connection:
            found = connection.execute(
                select(
                    table.sequence,
                    table.mac,
                    table.body,
                    table.personal,
                    table.personal_key,
                    table.erasure_id,
                ).where(
                    table.chain == chain, table.sequence.between(rows[0]["sequence"], rows[-1]["sequence"])
                )
            )
            there = {row.sequence: row for row in found}
        for row in rows:
            if row["sequence"] in there and not _is_same(row, there[row["sequence"]]):
                raise ChainConflictError(
                    f"the database has another entry at {chain} {row['sequence']}; run: mita-otel audit verify"
                )
        return [row for row in rows if row["sequence"] not in there]


def _is_same(row: Mapping[str, Any], found: Any) -> bool:
    """Return whether a row of the database is the entry, with its personal part or without it after an erasure."""
    if (found.mac, found.body) != (row["mac"], row["body"]):
        return False
    return found.erasure_id is not None or (found.personal, found.personal_key) == (
        row["personal"],
        row["personal_key"],
    )


def entry_row(entry: SealedEntry) -> dict[str, Any]:
    """Return the row of an entry: the signed body, and the columns that repeat parts of it."""
    fields = entry.fields
    personal = entry.personal
    values = personal.values if personal else {}
    return {
        "chain": fields["chain"],
        "sequence": fields["sequence"],
        "recorded_ns": fields["recorded_ns"],
        "event_type": fields["type"],
        "outcome": fields["outcome"],
        "service": fields["service"],
        "user_id": values.get("user_id"),
        "resource_type": fields.get("resource_type"),
        "resource_id": fields.get("resource_id"),
        "request_id": fields.get("request_id"),
        "trace_id": fields.get("trace_id"),
        "body": entry.body.decode(),
        "mac": entry.mac,
        "key_id": entry.key_id,
        "personal": personal.data.decode() if personal else None,
        "personal_key": personal.key if personal else None,
        "erasure_id": None,
        "erasure_mac": None,
    }


def key_in_use(database: Database) -> str | None:
    """Return the id of a key that has signed entries in the store. None: all are unsigned."""
    table = table_of(AuditEntryRow)
    with database.read() as connection:
        return connection.scalar(select(table.c.key_id).where(table.c.key_id != UNKEYED).limit(1))


def heads(
    database: Database, keys: AuditKeys, *, clock_ns: Callable[[], int] = time.time_ns
) -> Iterator[Anchor]:
    """Yield an anchor for the last entry of each chain in the store."""
    table = table_of(AuditEntryRow)
    last = (
        select(table.c.chain, func.max(table.c.sequence).label("sequence")).group_by(table.c.chain).subquery()
    )
    rows = select(table.c.chain, table.c.sequence, table.c.mac).join(
        last, (last.c.chain == table.c.chain) & (last.c.sequence == table.c.sequence)
    )
    with database.read() as connection:
        for row in connection.execution_options(yield_per=1000).execute(rows.order_by(table.c.chain)):
            yield Anchor.sign(keys, chain=row.chain, sequence=row.sequence, mac=row.mac, noted_ns=clock_ns())
