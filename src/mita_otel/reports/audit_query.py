"""Reads the audit trail: entries, verification, effective policies, and who reviewed the events of each day.

PCI DSS 10.4.1 requires the daily reviews. A review is a daily report, or an export of all entries, that a named person
created after the day ended, and that covers the whole day. Creating any other report, reading single entries and
verifying the trail are no reviews.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEventType
from mita_otel.audit.verification.findings import VerificationResult
from mita_otel.policy.storage import ReportPolicy
from mita_otel.reports.entry_checks import ENTRIES, EntryChecks, entry_id, most_frequent
from mita_otel.reports.scope import ReportScope, moment
from mita_otel.reports.sections import (
    AuditFinding,
    AuditSection,
    AuditVerification,
    DayReview,
    NamedCount,
    PolicyUse,
)
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import ErrorRow

_POLICY: Final = "policy"
_ROWS: Final = 1000
_ANCHORED_AFTER: Final = timedelta(hours=1)
"""A chain gets its anchor with its first move to the database. Within this time a busy spool has been moved."""

Verify = Callable[[], VerificationResult]
"""Verifies the whole trail."""
_ERRORS: Final = table_of(ErrorRow)
_DAY_NS: Final = 86_400 * 10**9
_ERASED: Final = "(erased)"
_TIME_ONLY: Final = frozenset({"since_ns", "until_ns"})
"""Criteria of an export that leave no entry of its time out."""


def read_audit(
    connection: Connection,
    scope: ReportScope,
    policy: ReportPolicy,
    now: datetime,
    *,
    waiting_bytes: int | None,
    verification: AuditVerification | None,
) -> AuditSection:
    """Return the audit entries of a scope.

    Args:
        connection: Connection to the store.
        scope: Period, service, environment and person.
        policy: How much is listed.
        now: The current time.
        waiting_bytes: Bytes that wait in the spool.
        verification: Result of verifying the whole trail.
    """
    checks = EntryChecks(scope, policy.max_examples)
    checks.read(connection)
    reviews = read_reviews(connection, scope, now)
    due = [one for one in reviews if one.status != "not_due"]
    return AuditSection(
        entries=checks.types.total(),
        by_type=most_frequent(checks.types),
        by_outcome=most_frequent(checks.outcomes),
        steps=checks.steps(),
        automatic=checks.automatic,
        checks=checks.of_requirements(),
        failures=checks.types[AuditEventType.AUDIT_FAILURE],
        days=len(due),
        days_reviewed=sum(one.status == "reviewed" for one in due),
        reviews=reviews,
        waiting_bytes=waiting_bytes,
        verification=verification,
    )


def verification_section(found: VerificationResult, policy: ReportPolicy, now: datetime) -> AuditVerification:
    """Return the verification section of a report."""
    latest_ns = (now - _ANCHORED_AFTER).timestamp() * 1e9
    unanchored = sorted(chain for chain, last_ns in found.unanchored.items() if last_ns < latest_ns)
    return AuditVerification(
        ok=found.ok,
        verified_at=now.astimezone(UTC),
        entries=found.entries,
        chains=found.chains,
        purged=found.purged,
        erased=found.erased,
        anchors=found.anchors,
        timestamps=found.timestamps,
        unkeyed_chains=found.unkeyed_chains,
        unanchored=unanchored[: policy.max_examples],
        unanchored_chains=len(unanchored),
        signatures=found.signatures,
        unverified=list(found.unverified),
        clock_steps=found.clock_steps,
        faults=[NamedCount(name=str(fault), count=count) for fault, count in sorted(found.faults.items())],
        findings=[
            AuditFinding(fault=str(one.fault), chain=one.chain, sequence=one.sequence, message=one.message)
            for one in found.findings[: policy.max_events]
        ],
    )


def read_policies(connection: Connection, scope: ReportScope) -> list[PolicyUse]:
    """Return the policies with which chains of the scope started, in order of appearance."""
    in_scope = scope.rows(ENTRIES, ENTRIES.c.recorded_ns)
    rows = connection.execution_options(yield_per=_ROWS).execute(
        select(ENTRIES.c.recorded_ns, ENTRIES.c.body)
        .where(
            in_scope,
            ENTRIES.c.event_type == AuditEventType.CONFIGURATION_CHANGE.value,
            ENTRIES.c.resource_type == _POLICY,
        )
        .order_by(ENTRIES.c.recorded_ns)
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


@dataclass(frozen=True, slots=True)
class _Review:
    at_ns: int
    start_ns: int
    end_ns: int
    by: str
    what: str
    entry: str


def read_reviews(connection: Connection, scope: ReportScope, now: datetime) -> list[DayReview]:
    """Return the days with audit entries or security events, and who reviewed each."""
    days = _days(connection, scope)
    if not days:
        return []
    reviews = list(_reviews(connection, scope, min(days) * _DAY_NS))
    now_ns = int(now.timestamp()) * 10**9
    return [_review_of(day, events, reviews, now_ns) for day, events in sorted(days.items())]


def _days(connection: Connection, scope: ReportScope) -> Counter[int]:
    days: Counter[int] = Counter()
    for time_ns, condition in (
        (ENTRIES.c.recorded_ns, scope.rows(ENTRIES, ENTRIES.c.recorded_ns)),
        (_ERRORS.c.occurred_ns, scope.rows(_ERRORS, _ERRORS.c.occurred_ns) & (_ERRORS.c.kind == "security")),
    ):
        day = (time_ns // _DAY_NS).label("day")
        for row in connection.execute(
            select(day, func.count().label("times")).where(condition).group_by(day)
        ):
            days[int(row.day)] += row.times
    return days


def _reviews(connection: Connection, scope: ReportScope, since_ns: int) -> Iterator[_Review]:
    types = (AuditEventType.REPORT_EXPORT.value, AuditEventType.AUDIT_EXPORT.value)
    rows = connection.execute(
        select(ENTRIES)
        .where(ENTRIES.c.event_type.in_(types), ENTRIES.c.recorded_ns >= since_ns)
        .order_by(ENTRIES.c.recorded_ns)
    )
    for row in rows:
        by = row.user_id or (_ERASED if row.erasure_id is not None else None)
        covered = _covered(row, orjson.loads(row.body).get("details") or {}, scope)
        if by is not None and covered is not None:
            what = "daily report" if row.event_type == AuditEventType.REPORT_EXPORT else "export"
            yield _Review(row.recorded_ns, *covered, by=by, what=what, entry=entry_id(row))


def _covered(row: Any, details: Mapping[str, Any], scope: ReportScope) -> tuple[int, int] | None:
    """Return which time a report or an export covers. None: it leaves events of the scope out."""
    if row.event_type == AuditEventType.AUDIT_EXPORT:
        criteria = details.get("filter") or {}
        if set(criteria) - _TIME_ONLY:
            return None
        return int(criteria.get("since_ns") or 0), int(criteria.get("until_ns") or row.recorded_ns)
    if row.resource_id != "daily" or details.get("of_one_person"):
        return None
    if details.get("service") not in (None, scope.service):
        return None
    if details.get("environment") not in (None, scope.environment):
        return None
    try:
        return _ns(details["start"]), min(_ns(details["end"]), row.recorded_ns)
    except (KeyError, TypeError, ValueError):
        return None


def _review_of(day: int, events: int, reviews: list[_Review], now_ns: int) -> DayReview:
    start_ns, end_ns = day * _DAY_NS, (day + 1) * _DAY_NS
    found = next((one for one in reviews if one.start_ns <= start_ns and one.end_ns >= end_ns), None)
    due_ns = end_ns + _DAY_NS
    name = datetime.fromtimestamp(start_ns // 10**9, UTC).strftime("%Y-%m-%d")
    if found is None:
        status = "missing" if now_ns >= due_ns else "not_due"
        return DayReview(day=name, events=events, status=status, at=None, by=None, what=None, entry=None)  # type: ignore[arg-type]
    return DayReview(
        day=name,
        events=events,
        status="reviewed" if found.at_ns < due_ns else "late",
        at=moment(found.at_ns),
        by=found.by,
        what=found.what,
        entry=found.entry,
    )


def _ns(text: str) -> int:
    return int(datetime.fromisoformat(text).timestamp()) * 10**9
