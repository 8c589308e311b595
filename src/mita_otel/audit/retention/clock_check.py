"""Checks the clock before data are deleted by their age."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.store.tables import AuditEntryRow, table_of
from mita_otel.store.telemetry_tables import LatencyWindowRow

_SECOND: Final = 1_000_000_000
_DAY: Final = 86_400 * 1_000_000_000
_SERVER_S: Final = func.extract("epoch", func.clock_timestamp())
_SERVER_MAY_DIFFER: Final = 3600 * _SECOND


def clock_problem(connection: Connection, now_ns: int, allowance_days: int) -> str | None:
    """Return why the clock looks wrong. None: it looks right.

    With a clock that jumped forward, all data would be deleted at once. Two signs reveal it: the database server
    has a different time, or nothing was recorded for longer than `allowance_days` before the last `allowance_days`.
    A service that was really off for so long must run that long again first.

    Args:
        connection: The store.
        now_ns: The time of this machine's clock, nanoseconds since the epoch.
        allowance_days: How far the clock may be ahead.
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
