"""Purges audit entries past their retention period: whole ranges of a chain, behind signed tombstones.

A range is verified before it is deleted, so that a purge never removes evidence of tampering. The tombstone is
written first: the database refuses to delete entries without one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import orjson
from sqlalchemy import ColumnElement, and_, delete, exists, func, not_, or_, select
from sqlalchemy.engine import Connection

from mita_otel.audit.canonical import AuditKeys, tombstone_message
from mita_otel.audit.event import AuditEventType
from mita_otel.audit.retention.holds import held, read_holds
from mita_otel.audit.verification.chain_walk import ChainWalk
from mita_otel.audit.verification.erasures import VerificationContext, erased_persons, genuine_erasures
from mita_otel.audit.verification.findings import VerificationResult
from mita_otel.store.database import Database
from mita_otel.store.tables import AuditEntryRow, AuditTombstoneRow, table_of

_logger = logging.getLogger("mita_otel.audit")

_ENTRIES = table_of(AuditEntryRow)
_TOMBSTONES = table_of(AuditTombstoneRow)
_ROWS = 2000


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of entries that may be deleted."""

    chain: str
    first: int
    last: int
    previous: str
    """Signature of the entry before the first one."""
    last_mac: str
    first_recorded_ns: int
    last_recorded_ns: int

    @property
    def entries(self) -> int:
        """The number of entries."""
        return self.last - self.first + 1


class AuditPurge:
    """Finds and purges ranges.

    Args:
        database: The store.
        keys: Verify the ranges and sign the tombstones.
        max_batch: Maximum rows per transaction.
    """

    def __init__(self, database: Database, keys: AuditKeys, *, max_batch: int) -> None:
        self._database = database
        self._keys = keys
        self._max_batch = max_batch
        self.refused: list[str] = []
        """A sentence for each chain that does not verify and was not purged."""

    def stretches(self, before_ns: int) -> Iterator[Stretch]:
        """Yield ranges that were recorded before a time, are under no legal hold, and verify."""
        with self._database.read() as connection:
            chains = connection.scalars(
                select(_ENTRIES.c.chain)
                .where(_ENTRIES.c.recorded_ns < before_ns)
                .distinct()
                .order_by(_ENTRIES.c.chain)
            ).all()
        for chain in chains:
            with self._database.read() as connection:
                found = self._of_chain(connection, chain, before_ns)
            yield from found

    def purge(self, stretch: Stretch, *, now_ns: int, reason: str) -> int:
        """Write the tombstone, then delete the range in small batches.

        Returns:
            How many entries were deleted. 0: a legal hold was placed in the meantime.
        """
        fields: dict[str, Any] = {
            "chain": stretch.chain,
            "first_sequence": stretch.first,
            "last_sequence": stretch.last,
            "previous": stretch.previous,
            "last_mac": stretch.last_mac,
            "first_recorded_ns": stretch.first_recorded_ns,
            "last_recorded_ns": stretch.last_recorded_ns,
            "purged_ns": now_ns,
            "reason": reason,
            "key_id": self._keys.current_id,
        }
        fields["mac"] = self._keys.sign("tombstone", tombstone_message(SimpleNamespace(**fields)))
        of_stretch = and_(
            _ENTRIES.c.chain == stretch.chain, _ENTRIES.c.sequence.between(stretch.first, stretch.last)
        )
        with self._database.write() as connection:
            if connection.scalar(select(exists().where(of_stretch, _is_held(connection)))):
                return 0
            connection.execute(_TOMBSTONES.insert().values(**fields))
        return self._delete(stretch.chain, stretch.first, stretch.last)

    def finish_interrupted(self) -> int:
        """Delete entries that have a tombstone but still exist, because a purge was interrupted.

        Returns:
            How many entries were deleted.
        """
        left = select(_TOMBSTONES).where(
            exists().where(
                and_(
                    _ENTRIES.c.chain == _TOMBSTONES.c.chain,
                    _ENTRIES.c.sequence.between(_TOMBSTONES.c.first_sequence, _TOMBSTONES.c.last_sequence),
                )
            )
        )
        with self._database.read() as connection:
            tombstones = connection.execute(left).all()
        deleted = 0
        for tombstone in tombstones:
            if not self._keys.verify(
                "tombstone", tombstone_message(tombstone), tombstone.mac, tombstone.key_id
            ):
                self._refuse(tombstone.chain, "has a forged tombstone")
                continue
            deleted += self._delete(tombstone.chain, tombstone.first_sequence, tombstone.last_sequence)
        return deleted

    def _delete(self, chain: str, first: int, last: int) -> int:
        deleted = 0
        for start in range(first, last + 1, self._max_batch):
            end = min(last, start + self._max_batch - 1)
            with self._database.write() as connection:
                deleted += connection.execute(
                    delete(_ENTRIES).where(_ENTRIES.c.chain == chain, _ENTRIES.c.sequence.between(start, end))
                ).rowcount
        return deleted

    def _of_chain(self, connection: Connection, chain: str, before_ns: int) -> list[Stretch]:
        old = and_(_ENTRIES.c.chain == chain, _ENTRIES.c.recorded_ns < before_ns)
        if not self._verifies(connection, chain, old):
            return []
        # Consecutive sequences have the same difference to their rank.
        ranked = (
            select(
                _ENTRIES.c.sequence,
                (_ENTRIES.c.sequence - func.row_number().over(order_by=_ENTRIES.c.sequence)).label("run"),
            )
            .where(old, not_(_is_held(connection)))
            .subquery()
        )
        runs = connection.execute(
            select(func.min(ranked.c.sequence), func.max(ranked.c.sequence))
            .group_by(ranked.c.run)
            .order_by(func.min(ranked.c.sequence))
        ).all()
        return [self._stretch(connection, chain, first, last) for first, last in runs]

    def _stretch(self, connection: Connection, chain: str, first: int, last: int) -> Stretch:
        def entry(sequence: int) -> Any:
            return connection.execute(
                select(_ENTRIES).where(_ENTRIES.c.chain == chain, _ENTRIES.c.sequence == sequence)
            ).one()

        begin, end = entry(first), entry(last)
        return Stretch(
            chain=chain,
            first=first,
            last=last,
            previous=orjson.loads(begin.body)["previous"],
            last_mac=end.mac,
            first_recorded_ns=begin.recorded_ns,
            last_recorded_ns=end.recorded_ns,
        )

    def _verifies(self, connection: Connection, chain: str, old: Any) -> bool:
        result = VerificationResult()
        tombstones = connection.execute(
            select(_TOMBSTONES).where(_TOMBSTONES.c.chain == chain).order_by(_TOMBSTONES.c.first_sequence)
        ).all()
        known = VerificationContext(
            self._keys,
            {
                erasure_id: row.key_id
                for erasure_id, row in genuine_erasures(connection, self._keys, result).items()
            },
            erased_persons(connection, self._keys),
            allow_unkeyed=True,
        )
        walk = ChainWalk(chain, known, tombstones, {}, {}, result)
        rows = select(_ENTRIES).where(old).order_by(_ENTRIES.c.sequence)
        for row in connection.execution_options(yield_per=_ROWS).execute(rows):
            walk.see(row)
        if not result.ok:
            self._refuse(chain, f"does not verify ({result.findings[0]})")
        return result.ok

    def _refuse(self, chain: str, why: str) -> None:
        sentence = f"the chain {chain} {why} and is not purged; run: mita-otel audit verify"
        self.refused.append(sentence)
        _logger.critical(sentence)


def _is_held(connection: Connection) -> ColumnElement[bool]:
    """Return the condition that an entry is under a legal hold.

    The holds are read anew each time, because a purge may take hours.
    """
    holds = read_holds(connection)
    # The entry that places a hold proves it for as long as it is in force.
    proof = and_(
        _ENTRIES.c.event_type == AuditEventType.LEGAL_HOLD_CREATE.value,
        _ENTRIES.c.resource_id.in_([hold.id for hold in holds]),
    )
    return or_(proof, held(holds, "audit", _ENTRIES.c.recorded_ns, _ENTRIES.c.user_id))
