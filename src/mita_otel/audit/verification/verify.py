"""Verifies the whole trail: entries, chains, erasures, legal holds, triggers and anchors."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.anchors import Anchor
from mita_otel.audit.chain import SealedEntry
from mita_otel.audit.keys import UNKEYED, AuditKeys, erasure_message
from mita_otel.audit.spool_reader import read_segment
from mita_otel.audit.verification.chain_walk import ChainWalk
from mita_otel.audit.verification.findings import AuditFault, VerificationResult
from mita_otel.audit.verification.holds import hold_faults
from mita_otel.audit.verification.persons import VerificationContext
from mita_otel.audit.verification.triggers import missing_triggers
from mita_otel.spool import SpoolFolder
from mita_otel.store.database import Database
from mita_otel.store.tables import AuditEntryRow, AuditErasureRow, AuditTombstoneRow, table_of

_ROWS = 2000
"""Rows per fetch."""

OnProgress = Callable[[int, int], None]
"""Called with the number of verified entries and the total."""


def verify(
    database: Database,
    keys: AuditKeys,
    *,
    anchors: Iterable[Anchor] = (),
    spool: SpoolFolder | None = None,
    allow_unkeyed: bool = False,
    on_progress: OnProgress | None = None,
) -> VerificationResult:
    """Verify the trail in bounded memory, on one snapshot of the database.

    Args:
        database: The store.
        keys: All keys that were ever used.
        anchors: The anchors of all writers. Without them, deleting the last entries of a chain, or a whole chain,
            is not detected.
        spool: The spool, where entries may still wait.
        allow_unkeyed: Whether to accept unsigned chains that were written before a key was set.
        on_progress: Called from time to time.

    Returns:
        The findings. `ok` is true if there are none.

    Raises:
        StoreUnavailableError: The database does not answer.
    """
    result = VerificationResult()
    noted = _noted(anchors, keys, allow_unkeyed, result)
    waiting = _waiting(spool, keys, noted)
    with database.read() as connection:
        _check_triggers_and_holds(connection, keys, result)
        known = VerificationContext(keys, genuine_erasures(connection, keys, result), allow_unkeyed)
        tombstones = _tombstones(connection)
        total = connection.execute(select(func.count()).select_from(AuditEntryRow)).scalar_one()
        seen: set[str] = set()
        walk: ChainWalk | None = None
        at: str | None = None
        for row in _entries(connection):
            if row.chain != at:
                if walk is not None:
                    walk.finish()
                at = row.chain
                seen.add(at)
                walk = ChainWalk(
                    at, known, tombstones.get(at, ()), noted.get(at, {}), waiting.get(at, {}), result
                )
            if walk is not None:
                walk.see(row)
            if on_progress is not None and result.entries % _ROWS == 0:
                on_progress(result.entries, total)
        if walk is not None:
            walk.finish()
        for chain in sorted((tombstones.keys() | noted.keys()) - seen):
            ChainWalk(
                chain, known, tombstones.get(chain, ()), noted.get(chain, {}), waiting.get(chain, {}), result
            ).finish()
    if on_progress is not None:
        on_progress(result.entries, total)
    return result


def genuine_erasures(connection: Connection, keys: AuditKeys, result: VerificationResult) -> dict[str, str]:
    """Return the key id of each genuine erasure by erasure id. Forged ones become findings."""
    genuine: dict[str, str] = {}
    for row in connection.execute(select(table_of(AuditErasureRow))):
        if keys.verify("erasure", erasure_message(row), row.mac, row.key_id):
            genuine[row.id] = row.key_id
        elif not keys.knows(row.key_id):
            result.add_unknown_key(AuditFault.ERASURE, "", None, row.key_id)
        else:
            result.add(AuditFault.ERASURE, "", None, f"the erasure {row.id} is forged or was changed")
    return genuine


def _check_triggers_and_holds(connection: Connection, keys: AuditKeys, result: VerificationResult) -> None:
    for problem in missing_triggers(connection):
        result.add(AuditFault.TRIGGER, "", None, problem)
    for problem in hold_faults(connection, keys):
        result.add(AuditFault.HOLD, "", None, problem)


def _entries(connection: Connection) -> Iterator[Any]:
    table = table_of(AuditEntryRow)
    statement = select(table).order_by(table.c.chain, table.c.sequence)
    return iter(connection.execution_options(yield_per=_ROWS).execute(statement))


def _noted(
    anchors: Iterable[Anchor], keys: AuditKeys, allow_unkeyed: bool, result: VerificationResult
) -> dict[str, dict[int, str]]:
    noted: dict[str, dict[int, str]] = defaultdict(dict)
    for anchor in anchors:
        result.anchors += 1
        if not keys.knows(anchor.key_id):
            result.add_unknown_key(AuditFault.ANCHOR, "", None, anchor.key_id)
            continue
        # Written before a key was set. Accepting it hides nothing: an anchor never excuses a finding.
        of_then = allow_unkeyed and anchor.key_id == UNKEYED
        if not anchor.is_genuine(AuditKeys(None) if of_then else keys):
            result.add(
                AuditFault.ANCHOR, anchor.chain, anchor.sequence, "this anchor is forged or was changed"
            )
            continue
        before = noted[anchor.chain].setdefault(anchor.sequence, anchor.mac)
        if before != anchor.mac:
            result.add(AuditFault.ANCHOR, anchor.chain, anchor.sequence, "two anchors contradict each other")
    return noted


def _waiting(
    spool: SpoolFolder | None, keys: AuditKeys, noted: Mapping[str, Mapping[int, str]]
) -> dict[str, dict[int, str]]:
    """Return the entries in the spool that an anchor mentions."""
    waiting: dict[str, dict[int, str]] = defaultdict(dict)
    for segment in [] if spool is None else spool.segments():
        mentioned = noted.get(segment.owner)
        if not mentioned:
            continue
        try:
            for _, entry in read_segment(segment.path, keys):
                if (
                    isinstance(entry, SealedEntry)
                    and (sequence := int(entry.fields["sequence"])) in mentioned
                ):
                    waiting[segment.owner][sequence] = entry.mac
        except FileNotFoundError:
            continue  # it was moved in the meantime
    return waiting


def _tombstones(connection: Connection) -> dict[str, list[Any]]:
    table = table_of(AuditTombstoneRow)
    found: dict[str, list[Any]] = defaultdict(list)
    for row in connection.execute(select(table).order_by(table.c.chain, table.c.first_sequence)):
        found[row.chain].append(row)
    return found
