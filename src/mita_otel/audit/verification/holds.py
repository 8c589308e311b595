"""Compares the legal holds with the entries about them: without a hold, evidence could be purged.

The table of holds is not signed; the entries about them are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.canonical import AuditKeys, canonical
from mita_otel.audit.event import AuditEventType
from mita_otel.store.tables import (
    AuditEntryRow,
    AuditErasureRow,
    AuditTombstoneRow,
    LegalHoldRow,
    table_of,
)

SEAL: Final = "seal"
"""Name of the detail with the value of `hold_seal` or `release_seal`."""
MISSING: Final = "row_missing"
"""Name of the detail of a release whose hold had no row."""
DIFFERS: Final = "row_differs"
"""Name of the detail of a release whose hold differed from its entry."""

_PLACED: Final = AuditEventType.LEGAL_HOLD_CREATE.value
_RELEASED: Final = AuditEventType.LEGAL_HOLD_RELEASE.value
_SEALED: Final = (
    "id", "created_ns", "created_by", "reason", "data_class", "user_id", "from_ns", "until_ns",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class HoldEntry:
    """A genuine entry that places or releases a hold."""

    seal: str
    key_id: str
    missing: bool = False
    """Whether the hold had no row when it was released."""
    differs: bool = False
    """Whether the row differed from its entry when it was released."""


def hold_seal(keys: AuditKeys, hold: Any, key_id: str | None = None) -> str:
    """Return the signature of a hold, for the entry that places it. It does not reveal the person."""
    return keys.sign("hold", canonical([getattr(hold, name) for name in _SEALED]), key_id)


def release_seal(
    keys: AuditKeys, hold_id: str, released_ns: int | None, released_by: str | None, key_id: str | None = None
) -> str:
    """Return the signature of a release, for the entry about it."""
    return keys.sign("hold", canonical(["release", hold_id, released_ns, released_by]), key_id)


def hold_entries(
    connection: Connection, keys: AuditKeys
) -> tuple[dict[str, HoldEntry], dict[str, HoldEntry]]:
    """Return the genuine entries that place holds, and those that release them, by hold id."""
    table = table_of(AuditEntryRow)
    placed: dict[str, HoldEntry] = {}
    released: dict[str, HoldEntry] = {}
    for row in connection.execute(
        select(table.c.body, table.c.mac, table.c.key_id)
        .where(table.c.event_type.in_((_PLACED, _RELEASED)))
        .order_by(table.c.recorded_ns)
    ):
        if not keys.verify("entry", row.body.encode(), row.mac, row.key_id):
            continue  # the chain's verification reports it
        fields = orjson.loads(row.body)
        details = fields.get("details") or {}
        entries = released if fields["type"] == _RELEASED else placed
        entries[str(fields.get("resource_id"))] = HoldEntry(
            str(details.get(SEAL)), row.key_id, bool(details.get(MISSING)), bool(details.get(DIFFERS))
        )
    return placed, released


def holds_in_force(connection: Connection, keys: AuditKeys) -> dict[str, HoldEntry]:
    """Return the holds that genuine entries place and do not release."""
    placed, released = hold_entries(connection, keys)
    return {hold_id: entry for hold_id, entry in placed.items() if hold_id not in released}


def hold_faults(connection: Connection, keys: AuditKeys) -> Iterator[str]:
    """Yield a sentence for each hold that differs from its entries."""
    rows = {row.id: row for row in connection.execute(select(table_of(LegalHoldRow)))}
    placed, released = hold_entries(connection, keys)
    erasures = set(connection.scalars(select(table_of(AuditErasureRow).c.id)))
    tombstones = table_of(AuditTombstoneRow)
    purged_until_ns = connection.scalar(select(func.max(tombstones.c.last_recorded_ns))) or 0
    for hold_id in sorted(rows.keys() | placed.keys()):
        row, entry, release = rows.get(hold_id), placed.get(hold_id), released.get(hold_id)
        if release is not None:
            problem = _released(keys, row, entry, release, erasures)
        elif entry is not None:
            problem = _in_force(keys, row, entry)
        elif row is not None and row.released_ns is not None and row.created_ns <= purged_until_ns:
            problem = ""  # a hold of long ago, whose entries were purged
        else:
            problem = "was made up: no entry places it"
        if problem:
            yield f"the legal hold {hold_id} {problem}"


def _in_force(keys: AuditKeys, row: Any, entry: HoldEntry) -> str:
    if row is None:
        return "was removed, and no entry releases it"
    if row.released_ns is not None:
        return "is marked as released, but no entry releases it"
    return "" if _fits(keys, row, entry) else "differs from its entry"


def _released(
    keys: AuditKeys, row: Any, entry: HoldEntry | None, release: HoldEntry, erasures: set[str]
) -> str:
    if row is None:
        return "" if release.missing else "was removed after its release"
    if row.released_ns is None:
        return "is in force, although an entry releases it"
    seal = release_seal(keys, row.id, row.released_ns, row.released_by, release.key_id)
    if seal != release.seal:
        return "differs from the entry about its release"
    if entry is None or release.differs or row.user_id in erasures or _fits(keys, row, entry):
        return ""
    return "differs from its entry"


def _fits(keys: AuditKeys, row: Any, entry: HoldEntry) -> bool:
    return hold_seal(keys, row, entry.key_id) == entry.seal
