"""Counts errors, security events, compliance events and redactions in the database."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final

import orjson
from sqlalchemy import ColumnElement, func, select
from sqlalchemy.engine import Connection

from mita_otel import semconv
from mita_otel.audit.event import AuditEventType, AuditOutcome
from mita_otel.policy.storage import AuditPolicy, ReportPolicy
from mita_otel.reports.scope import ReportScope, moment
from mita_otel.reports.sections import (
    AuditSection,
    ComplianceNumbers,
    CountOverTime,
    ErrorGroup,
    ErrorNumbers,
    ErrorSection,
    NamedCount,
    SecurityEvent,
    SecuritySection,
)
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import ErrorRow, RedactionRow

_ERRORS: Final = table_of(ErrorRow)
_REDACTIONS: Final = table_of(RedactionRow)
_HOUR_NS: Final = 3600 * 10**9
_ROWS: Final = 1000


def read_errors(connection: Connection, scope: ReportScope, policy: ReportPolicy) -> ErrorSection:
    """Return the errors of a scope."""
    in_scope = _of_kind(scope, "error")
    by_category = connection.execute(
        select(_ERRORS.c.category, _ERRORS.c.severity, func.count().label("times"))
        .where(in_scope)
        .group_by(_ERRORS.c.category, _ERRORS.c.severity)
        .order_by(func.count().desc(), _ERRORS.c.category, _ERRORS.c.severity)
    ).all()
    groups = _groups(connection, in_scope, policy.max_groups)
    kinds = connection.execute(
        select(func.count()).select_from(
            select(_ERRORS.c.category, _ERRORS.c.severity, _ERRORS.c.name)
            .where(in_scope)
            .distinct()
            .subquery()
        )
    ).scalar_one()
    return ErrorSection(
        total=sum(row.times for row in by_category),
        by_category=[
            ErrorNumbers(category=row.category, severity=row.severity, count=row.times) for row in by_category
        ],
        groups=groups,
        groups_omitted=kinds - len(groups),
        steps=_steps(connection, scope, in_scope, _ERRORS.c.severity),
    )


def read_security(
    connection: Connection,
    scope: ReportScope,
    policy: ReportPolicy,
    audit_policy: AuditPolicy,
    audit: AuditSection | None = None,
) -> SecuritySection:
    """Return the security events of a scope, with denied operations and failed logins of the audit trail.

    Args:
        connection: Connection to the store.
        scope: Period, service, environment and person.
        policy: How much is listed.
        audit_policy: Which security events are failed logins.
        audit: The audit entries of the scope.
    """
    in_scope = _of_kind(scope, "security")
    by_name = named_counts(connection, _ERRORS.c.name, in_scope)
    latest = connection.execute(
        select(_ERRORS)
        .where(in_scope)
        .order_by(_ERRORS.c.occurred_ns.desc(), _ERRORS.c.id.desc())
        .limit(policy.max_events)
    )
    types = {one.name: one.count for one in audit.by_type} if audit is not None else {}
    outcomes = {one.name: one.count for one in audit.by_outcome} if audit is not None else {}
    return SecuritySection(
        total=sum(one.count for one in by_name),
        by_name=by_name,
        by_severity=named_counts(connection, _ERRORS.c.severity, in_scope),
        steps=_steps(connection, scope, in_scope, _ERRORS.c.name),
        latest=[
            SecurityEvent(
                at=moment(row.occurred_ns),
                name=row.name,
                severity=row.severity,
                message=row.message,
                trace_id=row.trace_id,
            )
            for row in latest
        ],
        denied=outcomes.get(AuditOutcome.DENIED, 0),
        failed_logins=types.get(AuditEventType.LOGIN_FAILED, 0),
        failed_logins_reported=sum(
            one.count for one in by_name if audit_policy.security.get(one.name) == AuditEventType.LOGIN_FAILED
        ),
    )


def read_compliance(
    connection: Connection, scope: ReportScope, violations: Collection[str]
) -> list[ComplianceNumbers]:
    """Return the compliance events of a scope by regulation, requirement and status.

    Args:
        connection: Connection to the store.
        scope: Period, service, environment and person.
        violations: Statuses that are violations.
    """
    counts: dict[tuple[str, str, str], int] = {}
    rows = select(_ERRORS.c.name, _ERRORS.c.details, func.count().label("times"))
    # The requirement and the status are in the details. Few distinct details exist.
    grouped = rows.where(_of_kind(scope, "compliance")).group_by(_ERRORS.c.name, _ERRORS.c.details)
    for row in connection.execution_options(yield_per=_ROWS).execute(grouped):
        details = orjson.loads(row.details)
        requirement = str(details.get(semconv.COMPLIANCE_REQUIREMENT) or "")
        key = row.name, requirement, str(details.get(semconv.COMPLIANCE_STATUS, "unknown"))
        counts[key] = counts.get(key, 0) + row.times
    return [
        ComplianceNumbers(
            regulation=regulation,
            requirement=requirement,
            status=status,
            violation=status.strip().lower() in violations,
            count=count,
        )
        for (regulation, requirement, status), count in sorted(counts.items())
    ]


def read_redactions(connection: Connection, scope: ReportScope) -> list[NamedCount]:
    """Return redacted values by rule. They are counted by hour; the first and the last hour count completely."""
    hour = scope.period.start_ns - scope.period.start_ns % _HOUR_NS
    in_scope = scope.rows(_REDACTIONS, _REDACTIONS.c.hour_ns + (scope.period.start_ns - hour))
    count = func.sum(_REDACTIONS.c.count)
    rows = connection.execute(
        select(_REDACTIONS.c.rule, count.label("times"))
        .where(in_scope)
        .group_by(_REDACTIONS.c.rule)
        .order_by(count.desc(), _REDACTIONS.c.rule)
    )
    return [NamedCount(name=row.rule, count=int(row.times)) for row in rows]


def named_counts(
    connection: Connection, column: ColumnElement[Any], in_scope: ColumnElement[bool]
) -> list[NamedCount]:
    """Return the number of rows for each value of a column, most frequent first."""
    rows = connection.execute(
        select(column.label("name"), func.count().label("times"))
        .where(in_scope)
        .group_by(column)
        .order_by(func.count().desc(), column)
    )
    return [NamedCount(name=str(row.name), count=row.times) for row in rows]


def _of_kind(scope: ReportScope, kind: str) -> ColumnElement[bool]:
    return scope.rows(_ERRORS, _ERRORS.c.occurred_ns) & (_ERRORS.c.kind == kind)


def _groups(connection: Connection, in_scope: ColumnElement[bool], limit: int) -> list[ErrorGroup]:
    group = (_ERRORS.c.category, _ERRORS.c.severity, _ERRORS.c.name)
    grouped = select(
        *group,
        func.count().label("times"),
        func.min(_ERRORS.c.occurred_ns).label("first"),
        func.max(_ERRORS.c.occurred_ns).label("last"),
    )
    rows = connection.execute(
        grouped.where(in_scope).group_by(*group).order_by(func.count().desc(), *group).limit(limit)
    ).all()
    return [_group(connection, in_scope, row) for row in rows]


def _group(connection: Connection, in_scope: ColumnElement[bool], row: Any) -> ErrorGroup:
    last = connection.execute(
        select(_ERRORS.c.message, _ERRORS.c.trace_id)
        .where(
            in_scope,
            _ERRORS.c.category == row.category,
            _ERRORS.c.severity == row.severity,
            _ERRORS.c.name == row.name,
            _ERRORS.c.occurred_ns == row.last,
        )
        .order_by(_ERRORS.c.id.desc())
        .limit(1)
    ).one()
    return ErrorGroup(
        category=row.category,
        severity=row.severity,
        name=row.name,
        message=last.message,
        count=row.times,
        first=moment(row.first),
        last=moment(row.last),
        last_trace_id=last.trace_id,
    )


def _steps(
    connection: Connection, scope: ReportScope, in_scope: ColumnElement[bool], column: ColumnElement[Any]
) -> list[CountOverTime]:
    step = scope.step(_ERRORS.c.occurred_ns)
    rows = connection.execute(
        select(step, column.label("name"), func.count().label("times"))
        .where(in_scope)
        .group_by(step, column)
        .order_by(step, column)
    )
    return [
        CountOverTime(start=scope.step_start(int(row.step)), name=str(row.name), count=row.times)
        for row in rows
    ]
