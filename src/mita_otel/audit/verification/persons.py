"""Verifies the personal part of an entry: it matches the signed commitment, or was erased."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from mita_otel.audit.canonical import AuditKeys, erased_entry_message
from mita_otel.audit.draft import Personal
from mita_otel.audit.verification.erasures import ErasedPersons
from mita_otel.audit.verification.findings import AuditFault, VerificationResult

_ADDED: Final = "a personal part was added to an entry that has none"
_CHANGED: Final = "the personal part was changed"


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
