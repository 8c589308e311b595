"""The data of a report's sections on errors, security, the audit trail, compliance and retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ErrorNumbers:
    """Number of errors of a category and severity."""

    category: str
    severity: str
    count: int


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """Errors with the same category, severity and type."""

    category: str
    severity: str
    name: str
    """Exception type."""
    message: str
    """Message of the latest error."""
    count: int
    first: datetime
    last: datetime
    last_trace_id: str | None


@dataclass(frozen=True, kw_only=True)
class CountOverTime:
    """Number of occurrences in a step."""

    start: datetime
    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class ErrorSection:
    """Errors of the period."""

    total: int
    by_category: list[ErrorNumbers]
    groups: list[ErrorGroup]
    groups_omitted: int
    steps: list[CountOverTime]
    """Numbers by severity."""


@dataclass(frozen=True, kw_only=True)
class NamedCount:
    """Number of occurrences."""

    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class SecurityEvent:
    """A security event."""

    at: datetime
    name: str
    severity: str
    message: str
    trace_id: str | None


@dataclass(frozen=True, kw_only=True)
class SecuritySection:
    """Security events of the period."""

    total: int
    by_name: list[NamedCount]
    steps: list[CountOverTime]
    by_severity: list[NamedCount]
    latest: list[SecurityEvent]
    denied: int
    """Audit entries with the outcome `denied`."""
    failed_logins: int
    """Audit entries of the type `login_failed`."""
    failed_logins_reported: int
    """Security events that the policy maps to `login_failed`. Each should be an audit entry as well."""


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """A fault that the verification of the audit trail found."""

    fault: str
    chain: str
    sequence: int | None
    message: str


@dataclass(frozen=True, kw_only=True)
class AuditVerification:
    """Result of verifying the whole audit trail, not only the period."""

    ok: bool
    verified_at: datetime
    entries: int
    chains: int
    purged: int
    erased: int
    anchors: int
    timestamps: int
    """Of the anchors, those with a timestamp of an authority."""
    signatures: int
    """Timestamps with a valid signature, verified offline."""
    unverified: list[str]
    """What could not be verified, in sentences."""
    unkeyed_chains: int
    unanchored: list[str]
    """The first chains without an anchor. A chain that grew within the last hour may still get one."""
    unanchored_chains: int
    clock_steps: int
    faults: list[NamedCount]
    findings: list[AuditFinding]
    """The first findings."""


@dataclass(frozen=True, kw_only=True)
class FieldCheck:
    """A field that audit entries must have."""

    field: str
    """`user`, `type`, `time`, `outcome`, `origination`, `resource` or `start` (the first entry of a chain)."""
    missing: int
    """Entries without it."""
    examples: list[str]
    """The first entries without it: chain and sequence."""


@dataclass(frozen=True, kw_only=True)
class RequirementEntries:
    """The audit entries that a requirement is about."""

    requirement: str
    entries: int
    faulty: int
    """Entries without at least one of the fields."""
    by_type: list[NamedCount]
    fields: list[FieldCheck]


@dataclass(frozen=True, kw_only=True)
class DayReview:
    """Whether the events of a day were reviewed."""

    day: str
    """UTC, for example 2026-11-24."""
    events: int
    """Audit entries and security events of the day."""
    status: Literal["reviewed", "late", "missing", "not_due"]
    """A review is due within 24 hours after the day."""
    at: datetime | None
    by: str | None
    what: str | None
    """`daily report` or `export`."""
    entry: str | None
    """The audit entry that records the review: chain and sequence."""


@dataclass(frozen=True, kw_only=True)
class AuditSection:
    """Audit entries of the period."""

    entries: int
    by_type: list[NamedCount]
    by_outcome: list[NamedCount]
    steps: list[CountOverTime]
    automatic: int
    """Entries that the trail wrote itself: start, stop, failures, the policy of a service, scheduled retention."""
    checks: list[RequirementEntries]
    """The fields that requirements ask for. Includes entries of the `mita-otel` command."""
    failures: int
    """Entries that record a write failure of the trail."""
    days: int
    """Days of the period (UTC) with events whose review is due."""
    days_reviewed: int
    """Of these, days that were reviewed in time."""
    reviews: list[DayReview]
    """Days with audit entries or security events."""
    waiting_bytes: int | None
    """Bytes that wait in the spool of this machine; null if it has no spool."""
    verification: AuditVerification | None
    """Null if verification was skipped."""


@dataclass(frozen=True, kw_only=True)
class RetainedTable:
    """Rows and retention period of a table."""

    data: str
    """Retention class of the policy."""
    table: str
    rows: int
    oldest: datetime | None
    newest: datetime | None
    days: int
    """Retention period in days."""
    overdue: int
    """Rows past their retention period without a legal hold."""


@dataclass(frozen=True, kw_only=True)
class RetentionCheck:
    """Whether the retention period of a regulation is met."""

    regulation: str
    data: str
    required: str
    status: Literal["met", "not_yet", "not_met"]
    """`not_yet`: nothing was deleted too early, but the store is younger than the required period."""
    too_early: int
    """Entries that were deleted before the required period."""
    evidence: str


@dataclass(frozen=True, kw_only=True)
class Hold:
    """A legal hold."""

    id: str
    placed: datetime
    by: str
    reason: str
    data: str
    of_one_person: bool


@dataclass(frozen=True, kw_only=True)
class RetentionSection:
    """Retained data, required periods and legal holds."""

    kept: list[RetainedTable]
    checks: list[RetentionCheck]
    holds: list[Hold]
    last_applied: datetime | None


@dataclass(frozen=True, kw_only=True)
class ComplianceNumbers:
    """Number of compliance events of a regulation, requirement and status."""

    regulation: str
    requirement: str
    """As the service reported it."""
    status: str
    violation: bool
    """Whether the status is one of the policy's `finance.compliance.violations`."""
    count: int


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A requirement, and the evidence for it in this report."""

    id: str
    title: str
    status: Literal["evidence", "attention", "not_yet", "not_covered"]
    """`attention`: the evidence shows a problem, or the period has no evidence. `not_yet`: nothing contradicts the
    requirement, but its time has not passed."""
    sections: list[str]
    """Sections of the report with the evidence."""
    evidence: str
    counter_examples: int
    """Entries, days or events that contradict the requirement."""
    examples: list[str]
    """The first of them: chain and sequence of an entry, or a day."""
    limitation: str
    """What the evidence does not show."""


@dataclass(frozen=True, kw_only=True)
class StoredCardData:
    """Card data found in stored errors, spans and audit entries."""

    searched: int
    """The newest rows of the period that were searched with the default redaction rules."""
    rows: int
    """Rows with card data."""
    by_rule: list[NamedCount]
    examples: list[str]
    """The first of these rows: table and id of telemetry, chain and sequence of audit entries."""


@dataclass(frozen=True, kw_only=True)
class PolicyUse:
    """A policy that applied in the period."""

    sha256: str
    first: datetime
    last: datetime
    starts: int
    """Number of audit chains that started with this policy."""
