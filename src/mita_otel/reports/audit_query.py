"""Reads the audit trail: entries, verification, effective policies."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import orjson
from sqlalchemy import select
from sqlalchemy.engine import Connection

from mita_otel.audit.event import AuditEventType
from mita_otel.audit.verification.findings import VerificationResult
from mita_otel.policy.storage import ReportPolicy
from mita_otel.reports.entry_checks import ENTRIES, EntryChecks, most_frequent
from mita_otel.reports.reviews import read_reviews
from mita_otel.reports.scope import ReportScope, moment
from mita_otel.reports.sections import AuditFinding, AuditSection, AuditVerification, NamedCount, PolicyUse

_POLICY: Final = "policy"
_ROWS: Final = 1000
_ANCHORED_AFTER: Final = timedelta(hours=1)
"""A chain gets its anchor with its first move to the database. Within this time a busy spool has been moved."""

Verify = Callable[[], VerificationResult]
"""Verifies the whole trail."""


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
