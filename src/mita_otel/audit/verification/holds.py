"""Compares the legal holds with the entries about them: without a hold, evidence could be purged.

The table of holds is not signed; the entries about them are.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import orjson
from sqlalchemy import select
from sqlalchemy.engine import Connection

from mita_otel.audit.canonical import canonical
from mita_otel.audit.event import AuditEventType
from mita_otel.audit.keys import AuditKeys
from mita_otel.store.tables import AuditEntryRow, LegalHoldRow, table_of

SEAL: Final = "seal"
"""Name of the detail with the value of `hold_seal`."""

_PLACED: Final = AuditEventType.LEGAL_HOLD_CREATE.value
_RELEASED: Final = AuditEventType.LEGAL_HOLD_RELEASE.value
_SEALED: Final = ("id", "data_class", "user_id", "from_ns", "until_ns")


def hold_seal(keys: AuditKeys, hold: Any, key_id: str | None = None) -> str:
    """Return the signature of what a hold covers, for the entry about it. It does not reveal the person."""
    return keys.sign("hold", canonical([getattr(hold, name) for name in _SEALED]), key_id)


def holds_of_trail(connection: Connection, keys: AuditKeys) -> dict[str, tuple[str, str]]:
    """Return the holds that genuine entries place and do not release: seal and key id, by hold id."""
    table = table_of(AuditEntryRow)
    found: dict[str, tuple[str, str]] = {}
    released: set[str] = set()
    for row in connection.execute(
        select(table.c.body, table.c.mac, table.c.key_id).where(table.c.event_type.in_((_PLACED, _RELEASED)))
    ):
        if not keys.verify("entry", row.body.encode(), row.mac, row.key_id):
            continue  # the chain's verification reports it
        fields = orjson.loads(row.body)
        hold_id, seal = str(fields.get("resource_id")), (fields.get("details") or {}).get(SEAL)
        if fields["type"] == _RELEASED:
            released.add(hold_id)
        elif isinstance(seal, str):
            found[hold_id] = seal, row.key_id
    return {hold_id: seal_and_key for hold_id, seal_and_key in found.items() if hold_id not in released}


def hold_faults(connection: Connection, keys: AuditKeys) -> Iterator[str]:
    """Yield a sentence for each hold that differs from its entries."""
    rows = {row.id: row for row in connection.execute(select(table_of(LegalHoldRow)))}
    for hold_id, (seal, key_id) in sorted(holds_of_trail(connection, keys).items()):
        row = rows.get(hold_id)
        if row is None:
            yield f"the legal hold {hold_id} was removed, and no entry releases it"
        elif row.released_ns is not None:
            yield f"the legal hold {hold_id} is marked as released, but no entry releases it"
        elif seal != hold_seal(keys, row, key_id):
            yield f"the legal hold {hold_id} covers something else than its entry says"
