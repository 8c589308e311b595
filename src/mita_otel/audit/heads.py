"""Where every chain stands: an anchor for each, to be kept elsewhere; and whether they are signed."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from sqlalchemy import func, select

from mita_otel.audit.anchors import Anchor
from mita_otel.audit.keys import UNKEYED, AuditKeys
from mita_otel.store.database import Database
from mita_otel.store.tables import AuditEntryRow, table_of


def key_in_use(database: Database) -> str | None:
    """Return the id of a key that entries in the store are signed with; None: there is none that is."""
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
