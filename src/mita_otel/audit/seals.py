"""What else is signed beside entries and anchors: tombstones, erasures, and each entry's erasure."""

from __future__ import annotations

from typing import Any

from mita_otel.audit.canonical import canonical
from mita_otel.audit.keys import AuditKeys

_TOMBSTONE = (
    "chain", "first_sequence", "last_sequence", "previous", "last_mac", "first_recorded_ns", "last_recorded_ns",
    "purged_ns", "reason", "key_id",
)  # fmt: skip
_ERASURE = ("id", "erased_ns", "reason", "key_id")


def tombstone_message(row: Any) -> bytes:
    """Return what is signed of a tombstone's row."""
    return canonical([getattr(row, name) for name in _TOMBSTONE])


def erasure_message(row: Any) -> bytes:
    """Return what is signed of an erasure's row: not its count, which is for people."""
    return canonical([getattr(row, name) for name in _ERASURE])


def erased_entry_message(erasure_id: str, chain: str, sequence: int) -> bytes:
    """Return what is signed to say that an entry's person was erased on purpose."""
    return canonical([erasure_id, chain, sequence])


def subject_digest(keys: AuditKeys, user_id: str, key_id: str | None = None) -> str:
    """Return the keyed digest of a person's id: nobody without the key can tell whose it is."""
    return keys.sign("subject", user_id.encode("utf-8", "replace"), key_id)
