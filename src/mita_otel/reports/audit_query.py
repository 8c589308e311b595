"""Reads the audit trail: entries, verification, effective policies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, distinct, func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEventType
from mita_otel.audit.verification.findings import VerificationResult
from mita_otel.policy.storage import ReportPolicy
from mita_otel.reports.errors_query import named_counts
from mita_otel.reports.scope import ReportScope, moment
from mita_otel.reports.sections import (
    AuditFinding,
    AuditSection,
    AuditVerification,
    CountOverTime,
    NamedCount,
    PolicyUse,
)
from mita_otel.store.tables import AuditEntryRow, table_of

_ENTRIES: Final = table_of(AuditEntryRow)
_POLICY: Final = "policy"
_DAY_NS: Final = 86_400 * 10**9
_REVIEWS: Final = tuple(
    one.value
    for one in (
        AuditEventType.AUDIT_READ,
        AuditEventType.AUDIT_EXPORT,
        AuditEventType.AUDIT_VERIFY,
        AuditEventType.REPORT_EXPORT,
    )
)
"""Event types that record a review of the trail."""
_ROWS: Final = 1000

Verify = Callable[[], VerificationResult]
"""Verifies the whole trail."""


def read_audit(
    connection: Connection,
    scope: ReportScope,
    *,
    waiting_bytes: int | None,
    verification: AuditVerification | None,
) -> AuditSection:
    """Return the audit entries of a scope.

    Args:
        connection: Connection to the store.
        scope: Period, service, environment and person.
        waiting_bytes: Bytes that wait in the spool.
        verification: VerificationResult of the whole trail.
    """
    in_scope = scope.rows(_ENTRIES, _ENTRIES.c.recorded_ns)
    by_type = named_counts(connection, _ENTRIES.c.event_type, in_scope)
    step = scope.step(_ENTRIES.c.recorded_ns)
    steps = connection.execute(
        select(step, func.count().label("times")).where(in_scope).group_by(step).order_by(step)
    )
    return AuditSection(
        entries=sum(one.count for one in by_type),
        by_type=by_type,
        by_outcome=named_counts(connection, _ENTRIES.c.outcome, in_scope),
        steps=[
            CountOverTime(start=scope.step_start(int(row.step)), name="entries", count=row.times)
            for row in steps
        ],
        failures=next((one.count for one in by_type if one.name == AuditEventType.AUDIT_FAILURE), 0),
        days=_days(connection, scope),
        days_reviewed=_days(connection, scope, _ENTRIES.c.event_type.in_(_REVIEWS)),
        waiting_bytes=waiting_bytes,
        verification=verification,
    )


def _days(connection: Connection, scope: ReportScope, *conditions: ColumnElement[bool]) -> int:
    """Return the number of days with entries of any service, because reviews are not entries of a service."""
    every = ReportScope(scope.period).rows(_ENTRIES, _ENTRIES.c.recorded_ns)
    days = func.count(distinct(_ENTRIES.c.recorded_ns // _DAY_NS))
    return connection.execute(select(days).where(every, *conditions)).scalar_one()


def verification_section(found: VerificationResult, policy: ReportPolicy, now: datetime) -> AuditVerification:
    """Return the verification section of a report."""
    return AuditVerification(
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


def read_policies(connection: Connection, scope: ReportScope) -> list[PolicyUse]:
    """Return the policies with which chains of the scope started, in order of appearance."""
    in_scope = scope.rows(_ENTRIES, _ENTRIES.c.recorded_ns)
    rows = connection.execution_options(yield_per=_ROWS).execute(
        select(_ENTRIES.c.recorded_ns, _ENTRIES.c.body)
        .where(
            in_scope,
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
        PolicyUse(sha256=digest, first=moment(first_ns), last=moment(last_ns), starts=starts)
        for digest, (first_ns, last_ns, starts) in seen.items()
    ]
