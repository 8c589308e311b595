"""Reads retained data: compares it with the policy and the regulations, and searches it for card data."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, Table, and_, func, not_, select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEventType
from mita_otel.audit.retention.holds import LegalHold, held, read_holds
from mita_otel.audit.retention.rollup import KeptTable, kept_tables
from mita_otel.policy import default_policy
from mita_otel.policy.storage import DataClass, Minimum, ReportPolicy, RetentionPolicy, minimums
from mita_otel.redaction import Redactor
from mita_otel.reports.scope import ReportScope, moment, moment_or_none
from mita_otel.reports.sections import (
    Hold,
    NamedCount,
    RetainedTable,
    RetentionCheck,
    RetentionSection,
    StoredCardData,
)
from mita_otel.store.tables import AuditEntryRow, AuditTombstoneRow, table_of
from mita_otel.store.telemetry_tables import ErrorRow, SpanRow

_ENTRIES: Final = table_of(AuditEntryRow)
_TOMBSTONES: Final = table_of(AuditTombstoneRow)
_DAY_NS: Final = 86_400 * 10**9
_ERRORS: Final = table_of(ErrorRow)
_SPANS: Final = table_of(SpanRow)
_RULES: Final = frozenset({"cvv", "pan", "pin", "track"})
_AUDITED: Final = ("resource_id", "details", "before", "after")
_ROWS: Final = 1000


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


def find_card_data(connection: Connection, scope: ReportScope, policy: ReportPolicy) -> StoredCardData:
    """Search the newest rows of a scope with the default redaction rules, whatever the policy says.

    Args:
        connection: Connection to the store.
        scope: Period, service, environment and person.
        policy: How many rows of each table are searched, and how many are listed.
    """
    redactor = Redactor(default_policy().redaction)
    searched, rules, examples, rows = 0, Counter[str](), list[str](), 0
    for place, values in _values(connection, scope, policy.max_searched):
        searched += 1
        found = Counter[str]()
        redactor.attributes(values, found)
        hits = {rule: count for rule, count in found.items() if rule in _RULES}
        if hits:
            rows += 1
            rules.update(hits)
            if len(examples) < policy.max_examples:
                examples.append(place)
    return StoredCardData(
        searched=searched,
        rows=rows,
        by_rule=[NamedCount(name=name, count=count) for name, count in sorted(rules.items())],
        examples=examples,
    )


def _values(connection: Connection, scope: ReportScope, limit: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield where each row is, and its texts."""
    for row in _newest(
        connection, scope, _ERRORS, _ERRORS.c.occurred_ns, ("id", "message", "details"), limit
    ):
        yield f"{_ERRORS.name} {row.id}", {"message": row.message, "details": _json(row.details)}
    for row in _newest(connection, scope, _SPANS, _SPANS.c.start_ns, ("span_id", "name", "record"), limit):
        record = _json(row.record)
        yield (
            f"{_SPANS.name} {row.span_id}",
            {"name": row.name, "attributes": record.get("attributes"), "events": record.get("events")},
        )
    columns = ("chain", "sequence", "body")
    for row in _newest(connection, scope, _ENTRIES, _ENTRIES.c.recorded_ns, columns, limit):
        body = _json(row.body)
        yield f"{row.chain} {row.sequence}", {name: body[name] for name in _AUDITED if name in body}


def _newest(
    connection: Connection, scope: ReportScope, table: Table, time_ns: Any, columns: Iterable[str], limit: int
) -> Iterable[Any]:
    statement = select(*(table.c[name] for name in columns)).where(scope.rows(table, time_ns))
    newest = statement.order_by(time_ns.desc()).limit(limit)
    return connection.execution_options(yield_per=_ROWS).execute(newest)


def _json(text: str) -> dict[str, Any]:
    try:
        value = orjson.loads(text)
    except (orjson.JSONDecodeError, TypeError):
        return {"text": text}
    return value if isinstance(value, dict) else {"value": value}
