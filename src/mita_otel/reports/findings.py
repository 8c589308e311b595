"""The sections of a report that are about errors, security, the audit trail, compliance and retention."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class ErrorNumbers:
    """Errors of a category and severity."""

    category: str
    severity: str
    count: int


@dataclass(frozen=True, kw_only=True)
class ErrorGroup:
    """Errors that are alike."""

    category: str
    severity: str
    name: str
    """The exception's type."""
    message: str
    """Of the last one."""
    count: int
    first: datetime
    last: datetime
    last_trace_id: str | None


@dataclass(frozen=True, kw_only=True)
class CountOverTime:
    """How often something occurred in a step."""

    start: datetime
    name: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Errors:
    """What went wrong."""

    total: int
    by_category: list[ErrorNumbers]
    groups: list[ErrorGroup]
    groups_left_out: int
    steps: list[CountOverTime]
    """By severity."""


@dataclass(frozen=True, kw_only=True)
class NamedCount:
    """How often something occurred."""

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
class Security:
    """What security cares about."""

    total: int
    by_name: list[NamedCount]
    steps: list[CountOverTime]
    by_severity: list[NamedCount]
    latest: list[SecurityEvent]
    refused: int
    """Audit entries whose outcome is `denied`."""
    failed_logins: int
    """Audit entries of the type `login_failed`."""


@dataclass(frozen=True, kw_only=True)
class AuditFinding:
    """What verification found."""

    fault: str
    chain: str
    sequence: int | None
    message: str


@dataclass(frozen=True, kw_only=True)
class Verification:
    """Whether the audit trail is as it was written: the whole trail, not only the period."""

    ok: bool
    verified_at: datetime
    entries: int
    chains: int
    purged: int
    erased: int
    anchors: int
    unkeyed_chains: int
    clock_steps: int
    faults: list[NamedCount]
    findings: list[AuditFinding]
    """The first of them."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The audit trail."""

    entries: int
    """Of the period."""
    by_type: list[NamedCount]
    by_outcome: list[NamedCount]
    steps: list[CountOverTime]
    failures: int
    """Entries that tell that the trail itself could not be written."""
    days: int
    """Days of the period (UTC) on which anything was recorded, by any service."""
    days_looked_at: int
    """Those of them on which somebody read, exported or verified the trail, or made a report."""
    waiting_bytes: int | None
    """What waits in the spool of this machine; null: there is none here."""
    verification: Verification | None
    """Null: it was not asked for."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of one table, and for how long."""

    data: str
    """Class of data, from the retention policy."""
    table: str
    rows: int
    oldest: datetime | None
    newest: datetime | None
    days: int
    """Days that the policy keeps it."""
    overdue: int
    """Rows whose time is over and that no legal hold covers."""


@dataclass(frozen=True, kw_only=True)
class RetentionCheck:
    """Whether what a regulation asks for is there."""

    regulation: str
    data: str
    asks: str
    status: Literal["met", "not_yet", "not_met"]
    """`not_yet`: nothing was deleted too early, but the store is younger than that."""
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
class Retention:
    """What is kept for how long."""

    kept: list[Kept]
    checks: list[RetentionCheck]
    holds: list[Hold]
    last_applied: datetime | None


@dataclass(frozen=True, kw_only=True)
class ComplianceNumbers:
    """Compliance events of a regulation and status."""

    regulation: str
    status: str
    count: int


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """A requirement, and what of this report is evidence for it."""

    id: str
    title: str
    status: Literal["evidence", "attention", "not_covered"]
    """`attention`: the evidence shows a problem, or there is none in the period."""
    sections: list[str]
    """Sections of this report."""
    evidence: str


@dataclass(frozen=True, kw_only=True)
class PolicySeen:
    """A policy that was in force."""

    sha256: str
    first: datetime
    last: datetime
    starts: int
    """Chains that began under it."""
