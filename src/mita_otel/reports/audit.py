"""The audit trail in a report: what was recorded, whether it verifies, which policies were in force."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, distinct, func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEventType
from mita_otel.audit.findings import Verification as Found
from mita_otel.policy.reports import ReportPolicy
from mita_otel.reports.errors import named_counts
from mita_otel.reports.findings import (
    Audit,
    AuditFinding,
    CountOverTime,
    NamedCount,
    PolicySeen,
    Verification,
)
from mita_otel.reports.scope import Scope, moment
from mita_otel.store.tables import AuditEntryRow, table_of

_ENTRIES: Final = table_of(AuditEntryRow)
_POLICY: Final = "policy"
_DAY_NS: Final = 86_400 * 10**9
_LOOKS: Final = tuple(
    one.value
    for one in (
        AuditEventType.AUDIT_READ,
        AuditEventType.AUDIT_EXPORT,
        AuditEventType.AUDIT_VERIFY,
        AuditEventType.REPORT_EXPORT,
    )
)
"""Entries that say that somebody looked at the trail."""
_ROWS: Final = 1000

Verify = Callable[[], Found]
"""Verifies the whole trail."""


def audit_of(
    connection: Connection, scope: Scope, *, waiting_bytes: int | None, verification: Verification | None
) -> Audit:
    """Return what was recorded in a scope.

    Args:
        connection: The store.
        scope: What of.
        waiting_bytes: What waits in the spool.
        verification: Of the whole trail.
    """
    mine = scope.rows(_ENTRIES, _ENTRIES.c.recorded_ns)
    by_type = named_counts(connection, _ENTRIES.c.event_type, mine)
    step = scope.step(_ENTRIES.c.recorded_ns)
    steps = connection.execute(
        select(step, func.count().label("times")).where(mine).group_by(step).order_by(step)
    )
    return Audit(
        entries=sum(one.count for one in by_type),
        by_type=by_type,
        by_outcome=named_counts(connection, _ENTRIES.c.outcome, mine),
        steps=[
            CountOverTime(start=scope.step_start(int(row.step)), name="entries", count=row.times)
            for row in steps
        ],
        failures=next((one.count for one in by_type if one.name == AuditEventType.AUDIT_FAILURE), 0),
        days=_days(connection, scope),
        days_looked_at=_days(connection, scope, _ENTRIES.c.event_type.in_(_LOOKS)),
        waiting_bytes=waiting_bytes,
        verification=verification,
    )


def _days(connection: Connection, scope: Scope, *conditions: ColumnElement[bool]) -> int:
    """Return on how many days there were entries: of all services, since whoever looks is none of them."""
    every = Scope(scope.period).rows(_ENTRIES, _ENTRIES.c.recorded_ns)
    days = func.count(distinct(_ENTRIES.c.recorded_ns // _DAY_NS))
    return connection.execute(select(days).where(every, *conditions)).scalar_one()


def told(found: Found, policy: ReportPolicy, now: datetime) -> Verification:
    """Return what a report tells of a verification."""
    return Verification(
        ok=found.ok,
        verified_at=now.astimezone(UTC),
        entries=found.entries,
        chains=found.chains,
        purged=found.purged,
        erased=found.erased,
        anchors=found.anchors,
        unkeyed_chains=found.unkeyed_chains,
        clock_steps=found.clock_steps,
        faults=[NamedCount(name=str(fault), count=count) for fault, count in sorted(found.faults.items())],
        findings=[
            AuditFinding(fault=str(one.fault), chain=one.chain, sequence=one.sequence, message=one.message)
            for one in found.findings[: policy.max_events]
        ],
    )


def policies_of(connection: Connection, scope: Scope) -> list[PolicySeen]:
    """Return the policies that chains of the scope began under, in the order in which they appeared."""
    mine = scope.rows(_ENTRIES, _ENTRIES.c.recorded_ns)
    rows = connection.execution_options(yield_per=_ROWS).execute(
        select(_ENTRIES.c.recorded_ns, _ENTRIES.c.body)
        .where(
            mine,
            _ENTRIES.c.event_type == AuditEventType.CONFIGURATION_CHANGE.value,
            _ENTRIES.c.resource_type == _POLICY,
        )
        .order_by(_ENTRIES.c.recorded_ns)
    )
    seen: dict[str, tuple[int, int, int]] = {}
    for row in rows:
        details: Any = orjson.loads(row.body).get("details") or {}
        digest = details.get("policy_sha256")
        if isinstance(digest, str):
            first_ns, _, starts = seen.get(digest, (row.recorded_ns, 0, 0))
            seen[digest] = first_ns, row.recorded_ns, starts + 1
    return [
        PolicySeen(sha256=digest, first=moment(first_ns), last=moment(last_ns), starts=starts)
        for digest, (first_ns, last_ns, starts) in seen.items()
    ]
