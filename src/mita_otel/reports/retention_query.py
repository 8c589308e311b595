"""Reads retained data and compares it with the policy and the regulations."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, Table, and_, func, not_, select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEventType
from mita_otel.audit.retention.holds import LegalHold, held, read_holds
from mita_otel.audit.retention.rollup import KeptTable, kept_tables
from mita_otel.policy.storage import DataClass, Minimum, RetentionPolicy, minimums
from mita_otel.reports.scope import moment, moment_or_none
from mita_otel.reports.sections import Hold, RetainedTable, RetentionCheck, RetentionSection
from mita_otel.store.tables import AuditEntryRow, AuditTombstoneRow, table_of

_ENTRIES: Final = table_of(AuditEntryRow)
_TOMBSTONES: Final = table_of(AuditTombstoneRow)
_DAY_NS: Final = 86_400 * 10**9


def read_retention(connection: Connection, policy: RetentionPolicy, now: datetime) -> RetentionSection:
    """Return the retained data, compared with the policy and its regulations."""
    now_ns = int(now.timestamp()) * 10**9
    holds = read_holds(connection)
    kept = [_kept(connection, one, policy, holds, now_ns) for one in _tables()]
    last_ns = connection.scalar(
        select(func.max(_ENTRIES.c.recorded_ns)).where(
            _ENTRIES.c.event_type == AuditEventType.RETENTION_APPLY.value
        )
    )
    return RetentionSection(
        kept=kept,
        checks=[
            _check(connection, minimum, policy, kept, now)
            for minimum in minimums()
            if minimum.regulation in policy.regulations
        ],
        holds=[
            Hold(
                id=hold.id,
                placed=moment(hold.created_ns),
                by=hold.created_by,
                reason=hold.reason,
                data=hold.data_class or "all",
                of_one_person=hold.user_id is not None,
            )
            for hold in holds
        ],
        last_applied=moment_or_none(last_ns),
    )


def _tables() -> Iterator[KeptTable]:
    yield KeptTable("audit", _ENTRIES, _ENTRIES.c.recorded_ns, _ENTRIES.c.user_id)
    yield from kept_tables()


def _kept(
    connection: Connection, kept: KeptTable, policy: RetentionPolicy, holds: list[LegalHold], now_ns: int
) -> RetainedTable:
    days = policy.days(kept.data_class)
    rows, oldest, newest = connection.execute(
        select(func.count(), func.min(kept.time_ns), func.max(kept.time_ns)).select_from(kept.table)
    ).one()
    over = and_(
        kept.time_ns < now_ns - days * _DAY_NS,
        not_(held(holds, kept.data_class, kept.time_ns, kept.user_id)),
    )
    return RetainedTable(
        data=kept.data_class,
        table=kept.table.name,
        rows=rows,
        oldest=moment_or_none(oldest),
        newest=moment_or_none(newest),
        days=days,
        overdue=_count(connection, kept.table, over),
    )


def _check(
    connection: Connection,
    minimum: Minimum,
    policy: RetentionPolicy,
    kept: list[RetainedTable],
    now: datetime,
) -> RetentionCheck:
    data: DataClass = "audit" if minimum.data == "audit" else "errors"
    required = f"{minimum.days} days"
    if minimum.at_hand_days:
        required += f", {minimum.at_hand_days} immediately available"
    facts = {"regulation": minimum.regulation, "data": minimum.data, "required": required}
    too_early = _purged_too_early(connection, minimum.days) if data == "audit" else 0
    if too_early:
        evidence = f"{too_early:,} entries were purged before they were {minimum.days} days old"
        return RetentionCheck(**facts, status="not_met", too_early=too_early, evidence=evidence)
    oldest = min((one.oldest for one in kept if one.data == data and one.oldest), default=None)
    evidence = f"the policy retains them for {policy.days(data)} days, all of it in this database"
    if oldest is None:
        return RetentionCheck(
            **facts, status="not_yet", too_early=0, evidence=f"{evidence}; there are none yet"
        )
    age = (now - oldest).days
    purged = data == "audit" and _count(connection, _TOMBSTONES) > 0
    met = age >= minimum.days or purged
    return RetentionCheck(
        **facts,
        status="met" if met else "not_yet",
        too_early=0,
        evidence=f"{evidence}; the oldest is {age} days old",
    )


def _purged_too_early(connection: Connection, days: int) -> int:
    entries = func.sum(_TOMBSTONES.c.last_sequence - _TOMBSTONES.c.first_sequence + 1)
    early = _TOMBSTONES.c.purged_ns - _TOMBSTONES.c.last_recorded_ns < days * _DAY_NS
    return int(connection.scalar(select(entries).where(early)) or 0)


def _count(connection: Connection, table: Table, condition: ColumnElement[bool] | None = None) -> int:
    statement = select(func.count()).select_from(table)
    return connection.execute(statement if condition is None else statement.where(condition)).scalar_one()
