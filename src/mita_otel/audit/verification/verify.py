"""Verifies the whole trail: entries, chains, erasures, legal holds, triggers and anchors."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from itertools import chain as joined
from math import inf
from pathlib import Path
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.anchors import Anchor
from mita_otel.audit.canonical import UNKEYED, AuditKeys
from mita_otel.audit.chain import SealedEntry
from mita_otel.audit.event import COMMAND_SERVICE
from mita_otel.audit.spool_reader import read_segment
from mita_otel.audit.timestamp_signatures import TimestampVerifier
from mita_otel.audit.timestamps import StampedAnchor
from mita_otel.audit.verification.chain_walk import ChainWalk
from mita_otel.audit.verification.erasures import (
    VerificationContext,
    erased_persons,
    erasure_faults,
    genuine_erasures,
)
from mita_otel.audit.verification.findings import AuditFault, VerificationResult
from mita_otel.audit.verification.holds import hold_faults
from mita_otel.audit.verification.triggers import trigger_faults
from mita_otel.spool import SpoolFolder
from mita_otel.store.database import Database
from mita_otel.store.tables import AuditEntryRow, AuditTombstoneRow, table_of

_ROWS = 2000
"""Rows per fetch."""

OnProgress = Callable[[int, int], None]
"""Called with the number of verified entries and the total."""


def verify(
    database: Database,
    keys: AuditKeys,
    *,
    anchors: Iterable[Anchor] = (),
    timestamps: Iterable[StampedAnchor] = (),
    max_lag_s: float = inf,
    authority: Path | None = None,
    spool: SpoolFolder | None = None,
    allow_unkeyed: bool = False,
    environments: Collection[str] | None = None,
    on_progress: OnProgress | None = None,
) -> VerificationResult:
    """Verify the trail in bounded memory, on one snapshot of the database.

    Args:
        database: The store.
        keys: All keys that were ever used.
        anchors: The anchors of all writers. Without them, deleting the last entries of a chain, or a whole chain,
            is not detected.
        timestamps: Anchors with timestamps.
        max_lag_s: Seconds between an anchor and its timestamp.
        authority: Certificates of the time-stamping authority (PEM). None: the signatures are verified with the
            certificates in the timestamps, so their signer is unknown.
        spool: The spool, where entries may still wait.
        allow_unkeyed: Whether to accept unsigned chains that were written before a key was set.
        environments: The environments whose chains belong in this store. None: the one with the most entries.
        on_progress: Called from time to time.

    Returns:
        The findings. `ok` is true if there are none.

    Raises:
        StoreUnavailableError: The database does not answer.
        AuditError: Signatures of the authority cannot be verified here.
    """
    result = VerificationResult()
    verifier = TimestampVerifier(authority, max_lag_s)
    stamped = _stamped(timestamps, verifier, result)
    noted = _noted(joined(anchors, stamped), keys, allow_unkeyed, result)
    result.signatures = verifier.signatures
    result.unverified += verifier.unverified()
    waiting = _waiting(spool, keys, noted)
    with database.read() as connection:
        _check_triggers_and_holds(connection, keys, result)
        erasures = genuine_erasures(connection, keys, result)
        for problem in erasure_faults(connection, keys, erasures):
            result.add(AuditFault.ERASURE, "", None, problem)
        known = VerificationContext(
            keys,
            {erasure_id: row.key_id for erasure_id, row in erasures.items()},
            erased_persons(connection, keys),
            allow_unkeyed,
        )
        origins = ChainOrigins(environments)
        tombstones = _tombstones(connection)
        total = connection.execute(select(func.count()).select_from(AuditEntryRow)).scalar_one()
        seen: set[str] = set()
        walk: ChainWalk | None = None
        at: str | None = None
        for row in _entries(connection):
            if row.chain != at:
                if walk is not None:
                    walk.finish()
                    origins.add(walk)
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
            origins.add(walk)
        origins.check(result)
        for chain in sorted((tombstones.keys() | noted.keys()) - seen):
            ChainWalk(
                chain, known, tombstones.get(chain, ()), noted.get(chain, {}), waiting.get(chain, {}), result
            ).finish()
    if on_progress is not None:
        on_progress(result.entries, total)
    return result


class ChainOrigins:
    """Finds chains of another environment: with the same key, they verify by themselves.

    Chains of the `mita-otel` command are left out: an operator's shell may name another environment.

    Args:
        environments: The environments whose chains belong in the store. None: the one with the most entries.
    """

    def __init__(self, environments: Collection[str] | None) -> None:
        self._environments = environments
        self._entries: Counter[str] = Counter()
        self._chains: dict[str, list[str]] = defaultdict(list)

    def add(self, walk: ChainWalk) -> None:
        """Note where a verified chain was written."""
        if walk.environment is not None and walk.service != COMMAND_SERVICE:
            self._entries[walk.environment] += walk.entries
            self._chains[walk.environment].append(walk.chain)

    def check(self, result: VerificationResult) -> None:
        """Report the chains that do not belong in the store."""
        expected = self._environments
        if expected is None:
            expected = [environment for environment, _ in self._entries.most_common(1)]
        for environment in sorted(self._chains.keys() - set(expected)):
            for chain in self._chains[environment]:
                result.add(
                    AuditFault.ORIGIN,
                    chain,
                    None,
                    f"this chain was written in the environment {environment!r}, not in {' or '.join(expected)}; it was "
                    "copied here, or name the environment with --environment",
                )


def _check_triggers_and_holds(connection: Connection, keys: AuditKeys, result: VerificationResult) -> None:
    for problem in trigger_faults(connection):
        result.add(AuditFault.TRIGGER, "", None, problem)
    for problem in hold_faults(connection, keys):
        result.add(AuditFault.HOLD, "", None, problem)


def _entries(connection: Connection) -> Iterator[Any]:
    table = table_of(AuditEntryRow)
    statement = select(table).order_by(table.c.chain, table.c.sequence)
    return iter(connection.execution_options(yield_per=_ROWS).execute(statement))


def _stamped(
    timestamps: Iterable[StampedAnchor], verifier: TimestampVerifier, result: VerificationResult
) -> Iterator[Anchor]:
    for one, problem in verifier.problems(timestamps):
        result.timestamps += 1
        if problem is not None:
            result.add(AuditFault.ANCHOR, one.anchor.chain, one.anchor.sequence, problem)
        yield one.anchor


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
    if not result.anchors:
        result.unverified.append(
            "whether the last entries of a chain were deleted: there are no anchors; see mita-otel audit anchor"
        )
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
