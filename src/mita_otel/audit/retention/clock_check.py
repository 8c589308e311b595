"""Looks whether the clock can be believed before anything is deleted by it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.store.tables import AuditEntryRow, table_of
from mita_otel.store.telemetry_tables import LatencyWindowRow

_SECOND: Final = 1_000_000_000
_DAY: Final = 86_400 * _SECOND
_SERVER_S: Final = func.extract("epoch", func.clock_timestamp())
_SERVER_MAY_DIFFER: Final = 3600 * _SECOND


def why_not(connection: Connection, now_ns: int, allowance_days: int) -> str | None:
    """Return why the clock cannot be believed; None: it can.

    A clock that jumped forward would have everything deleted at once. It shows: the database server tells
    another time, or nothing was recorded for longer than `allowance_days` before the last `allowance_days`.
    A service that really was off for so long waits that long again.

    Args:
        connection: The store.
        now_ns: What the clock says, nanoseconds since the epoch.
        allowance_days: How far it may be ahead.
    """
    if connection.dialect.name != "sqlite":
        server_ns = int(connection.execute(select(_SERVER_S)).scalar_one() * _SECOND)
        if abs(server_ns - now_ns) > _SERVER_MAY_DIFFER:
            return f"the clock says {_day(now_ns)}, the database server's says {_day(server_ns)}"
    allowed_ns = now_ns - allowance_days * _DAY
    newest_ns = _newest_before(connection, allowed_ns)
    if newest_ns is not None and allowed_ns - newest_ns > allowance_days * _DAY:
        return (
            f"the clock says {_day(now_ns)}, but nothing was recorded between {_day(newest_ns)} and "
            f"{_day(allowed_ns)}: it may have been stepped forward"
        )
    return None


def _newest_before(connection: Connection, before_ns: int) -> int | None:
    entries, windows = table_of(AuditEntryRow), table_of(LatencyWindowRow)
    found = [
        connection.scalar(select(func.max(entries.c.recorded_ns)).where(entries.c.recorded_ns < before_ns)),
        connection.scalar(
            select(func.max(windows.c.start_s) * _SECOND).where(windows.c.start_s < before_ns // _SECOND)
        ),
    ]
    return max((int(one) for one in found if one is not None), default=None)


def _day(ns: int) -> str:
    return datetime.fromtimestamp(ns / _SECOND, UTC).strftime("%Y-%m-%d %H:%M UTC")
