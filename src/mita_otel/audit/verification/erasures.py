"""Verifies erasures, and the personal part of entries: it matches the signed commitment, or was erased.

Erasures are compared with the entries about them. Erased persons that were restored are found.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.canonical import (
    AuditKeys,
    erased_entry_message,
    erased_subject_seal,
    erasure_message,
    subject_digest,
)
from mita_otel.audit.draft import Personal
from mita_otel.audit.event import AuditEventType
from mita_otel.audit.verification.findings import AuditFault, VerificationResult
from mita_otel.store.tables import (
    AuditEntryRow,
    AuditErasureRow,
    AuditTombstoneRow,
    ErasedSubjectRow,
    table_of,
)

SUBJECT_SEAL: Final = "subject_seal"
"""In the details of an entry about an erasure: the seal of the person's digest."""
_MAX_CACHED: Final = 10_000
_ADDED: Final = "a personal part was added to an entry that has none"
_CHANGED: Final = "the personal part was changed"


def genuine_erasures(connection: Connection, keys: AuditKeys, result: VerificationResult) -> dict[str, Any]:
    """Return the rows of genuine erasures by id. Forged ones become findings."""
    genuine: dict[str, Any] = {}
    for row in connection.execute(select(table_of(AuditErasureRow))):
        if keys.verify("erasure", erasure_message(row), row.mac, row.key_id):
            genuine[row.id] = row
        elif not keys.knows(row.key_id):
            result.add_unknown_key(AuditFault.ERASURE, "", None, row.key_id)
        else:
            result.add(AuditFault.ERASURE, "", None, f"the erasure {row.id} is forged or was changed")
    return genuine


class ErasedPersons:
    """Recognises erased persons by the keyed digests of `mita_erased_subjects`.

    Args:
        keys: Compute the digests.
        subjects: Rows of `mita_erased_subjects`.
    """

    def __init__(self, keys: AuditKeys, subjects: Iterable[Any] = ()) -> None:
        self._keys = keys
        self._erased_ns: dict[str, dict[str, int]] = {}
        for row in subjects:
            if keys.knows(row.key_id):
                by_digest = self._erased_ns.setdefault(row.key_id, {})
                by_digest[row.subject] = max(row.erased_ns, by_digest.get(row.subject, 0))
        self._cache: dict[str, int | None] = {}

    def erased_ns(self, user_id: str) -> int | None:
        """Return when a person was erased, nanoseconds since the epoch. None: not erased."""
        if not self._erased_ns:
            return None
        if user_id not in self._cache:
            if len(self._cache) >= _MAX_CACHED:
                self._cache.clear()
            found = (
                by_digest.get(subject_digest(self._keys, user_id, key_id))
                for key_id, by_digest in self._erased_ns.items()
            )
            self._cache[user_id] = max((one for one in found if one is not None), default=None)
        return self._cache[user_id]


def erased_persons(connection: Connection, keys: AuditKeys) -> ErasedPersons:
    """Return the erased persons that are still recognised."""
    return ErasedPersons(keys, list(connection.execute(select(table_of(ErasedSubjectRow)))))


def erasure_faults(connection: Connection, keys: AuditKeys, genuine: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each erasure that was removed or taken back.

    Args:
        connection: The store.
        keys: Verify the entries about erasures.
        genuine: Rows of genuine erasures by id.
    """
    existing = set(connection.scalars(select(table_of(AuditErasureRow).c.id)))
    seals: dict[str, str] = {}
    for details in _details(connection, keys, AuditEventType.SUBJECT_ERASE):
        erasure_id = str(details.get("erasure"))
        if SUBJECT_SEAL in details:
            seals[erasure_id] = str(details[SUBJECT_SEAL])
        if erasure_id not in existing:
            yield f"the erasure {erasure_id} was removed; the entry about it remains"
    yield from _restored(connection, genuine)
    yield from _unrecognised(connection, keys, genuine, existing, seals)


def _restored(connection: Connection, genuine: Mapping[str, Any]) -> Iterator[str]:
    entries, tombstones = table_of(AuditEntryRow), table_of(AuditTombstoneRow)
    counted = select(entries.c.erasure_id, func.count()).where(entries.c.erasure_id.is_not(None))
    rows = connection.execute(counted.group_by(entries.c.erasure_id))
    counts: dict[str, int] = {row[0]: row[1] for row in rows}
    for erasure_id, row in sorted(genuine.items()):
        purged = connection.scalar(
            select(func.sum(tombstones.c.last_sequence - tombstones.c.first_sequence + 1)).where(
                tombstones.c.purged_ns >= row.erased_ns
            )
        )
        missing = row.entries - counts.get(erasure_id, 0) - int(purged or 0)
        if missing > 0:
            yield (
                f"{missing} of {row.entries} erased entries of the erasure {erasure_id} are missing: they were deleted, "
                "or their personal part was restored"
            )


def _unrecognised(
    connection: Connection,
    keys: AuditKeys,
    genuine: Mapping[str, Any],
    existing: set[str],
    seals: Mapping[str, str],
) -> Iterator[str]:
    subjects = {row.erasure_id: row for row in connection.execute(select(table_of(ErasedSubjectRow)))}
    cutoff_ns = max(
        (
            int((details.get("before_ns") or {}).get("debug", 0))
            for details in _details(connection, keys, AuditEventType.RETENTION_APPLY)
            if not details.get("dry_run")
        ),
        default=0,
    )
    for erasure_id, row in sorted(genuine.items()):
        subject = subjects.get(erasure_id)
        if subject is None and row.erased_ns >= cutoff_ns:
            yield (
                f"the digest of the erasure {erasure_id} was removed from {ErasedSubjectRow.__tablename__}: late "
                "entries of the person would not be erased"
            )
        elif subject is not None and (
            (subject.erased_ns, subject.key_id) != (row.erased_ns, row.key_id)
            or not _is_sealed(keys, subject, seals.get(erasure_id))
        ):
            yield f"the digest of the erasure {erasure_id} was changed"
    for erasure_id in sorted(subjects.keys() - existing):
        yield f"the digest of an erasure {erasure_id} that does not exist was added"


def _is_sealed(keys: AuditKeys, subject: Any, seal: str | None) -> bool:
    """Return whether a digest has the seal of the entry about its erasure. Entries of older versions have no seal."""
    if seal is None or not keys.knows(subject.key_id):
        return True
    return hmac.compare_digest(erased_subject_seal(keys, subject, subject.key_id).encode(), seal.encode())


def _details(
    connection: Connection, keys: AuditKeys, event_type: AuditEventType
) -> Iterator[Mapping[str, Any]]:
    """Yield the details of the genuine entries of a type."""
    table = table_of(AuditEntryRow)
    for row in connection.execute(
        select(table.c.body, table.c.mac, table.c.key_id).where(table.c.event_type == event_type.value)
    ):
        if keys.verify("entry", row.body.encode(), row.mac, row.key_id):
            details = orjson.loads(row.body).get("details")
            if isinstance(details, dict):
                yield details


@dataclass(frozen=True, slots=True)
class VerificationContext:
    """What the verification of each chain needs."""

    keys: AuditKeys
    erasures: Mapping[str, str]
    """Key id of each genuine erasure, by its id."""
    persons: ErasedPersons
    """Recognises erased persons."""
    allow_unkeyed: bool = False
    """Whether unsigned chains are accepted although a key is set."""


def check_person(
    row: Any, fields: Mapping[str, Any], known: VerificationContext, result: VerificationResult
) -> None:
    """Verify the personal part of a row.

    Args:
        row: A row of `mita_audit_entries`.
        fields: The fields of its body. Empty if it cannot be read.
        known: The keys and the erasures.
        result: Collects the findings.
    """
    if row.erasure_id is not None or row.erasure_mac is not None:
        message = _erased(row, fields, known)
        if message is None:
            result.erased += 1
        else:
            result.add(AuditFault.ERASURE, row.chain, row.sequence, message)
        return
    if not fields:
        return
    erased_ns = None if row.user_id is None else known.persons.erased_ns(row.user_id)
    if erased_ns is not None and row.recorded_ns <= erased_ns:
        result.add(
            AuditFault.ERASURE,
            row.chain,
            row.sequence,
            "the personal part of an erased person was restored, perhaps from a backup",
        )
    message = _kept(row, fields.get("personal"))
    if message is not None:
        result.add(AuditFault.PERSONAL, row.chain, row.sequence, message)


def _erased(row: Any, fields: Mapping[str, Any], known: VerificationContext) -> str | None:
    key_id = known.erasures.get(row.erasure_id)
    if key_id is None:
        return f"there was no erasure {row.erasure_id}"
    # An entry that was moved carries the proof of its original position.
    chain, sequence = fields.get("chain", row.chain), fields.get("sequence", row.sequence)
    message = erased_entry_message(row.erasure_id, chain, sequence)
    if not isinstance(row.erasure_mac, str) or not known.keys.verify(
        "erased-entry", message, row.erasure_mac, key_id
    ):
        return "the erasure of this entry is forged"
    if row.personal is not None or row.personal_key is not None or row.user_id is not None:
        return "a personal part was added after the erasure"
    return None


def _kept(row: Any, commitment: str | None) -> str | None:
    if row.personal is None and row.personal_key is None:
        if commitment is not None:
            return "the personal part was removed without an erasure"
        return None if row.user_id is None else _ADDED
    if commitment is None:
        return _ADDED
    try:
        sealed = Personal(row.personal.encode(), row.personal_key)
        is_the_one = sealed.commitment == commitment
        user_id = sealed.values.get("user_id")
    except (ValueError, TypeError, AttributeError):
        return _CHANGED
    if not is_the_one:
        return _CHANGED
    return (
        None
        if user_id == row.user_id
        else "the column user_id was changed: it differs from the signed personal part"
    )
