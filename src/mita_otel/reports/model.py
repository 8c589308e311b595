"""The data of a report, for every format. `docs/reference/report.md` documents its JSON schema."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from mita_otel.reports.sections import (
    AuditSection,
    ComplianceNumbers,
    ErrorSection,
    NamedCount,
    PolicyUse,
    Requirement,
    RetentionSection,
    SecuritySection,
    StoredCardData,
)

ReportKind = Literal["performance", "compliance", "daily", "weekly", "monthly", "quarterly"]
Source = Literal["store", "sentry"]

SCHEMA_VERSION: Final = "2"


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A period without a span."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class MeasurementCoverage:
    """Which part of the period the numbers cover."""

    first: datetime | None
    """End of the first span in the period; null if there is none."""
    last: datetime | None
    """End of the last span in the period; null if there is none."""
    minutes: int
    """Minutes of the period until now."""
    minutes_measured: int
    """Minutes in which at least one span ended. Older data is stored by hour; such an hour counts completely."""
    gaps: list[Gap]
    """All gaps, longest first."""
    gaps_listed: int
    """How many of them tables list."""
    relative_error: float
    """Largest relative error of a percentile."""
    note: str
    """What the numbers include and exclude."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Counts and durations of spans."""

    count: int
    errors: int
    """Failed spans."""
    breaches: int
    """Spans that exceeded their limit."""
    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class CategoryNumbers(Numbers):
    """Numbers of a category such as `api`."""

    category: str


@dataclass(frozen=True, kw_only=True)
class OperationNumbers(CategoryNumbers):
    """Numbers of an operation."""

    operation: str
    rule: str | None
    limit_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """A step of a plot over time."""

    start: datetime
    category: str
    count: int
    errors: int
    breaches: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class SlowestSpan:
    """One of the slowest spans."""

    category: str
    operation: str
    duration_ms: float
    trace_id: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class BreachNumbers:
    """Breaches of a rule."""

    rule: str
    kind: str
    limit_ms: float
    """Limit at the last breach."""
    count: int
    worst_ms: float
    worst_name: str
    worst_trace_id: str


@dataclass(frozen=True, kw_only=True)
class PerformanceSection:
    """Latency of the services."""

    total: Numbers
    categories: list[CategoryNumbers]
    operations: list[OperationNumbers]
    """Operations, largest total time first."""
    operations_omitted: int
    limits: list[CategoryLimits]
    steps: list[Step]
    slowest: list[SlowestSpan]
    breaches: list[BreachNumbers]
    """From kept traces; every trace with a breach is kept."""

    def headline(self) -> CategoryNumbers:
        """Return the numbers of requests, or of all spans if there are no requests, because spans contain other spans."""
        for one in self.categories:
            if one.category == "api":
                return one
        return CategoryNumbers(category="all", **vars(self.total))


@dataclass(frozen=True, kw_only=True)
class CategoryLimits:
    """Every limit that applied to spans of a category in the period."""

    category: str
    limits_ms: list[float]


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A number compared with the previous period."""

    name: str
    now: float | None
    before: float | None
    unit: Literal["", "ms", "%"]
    better: Literal["lower", "higher", "neutral"]


@dataclass(frozen=True, kw_only=True)
class ReportSeal:
    """Proves that a report was not changed. `mita-otel report verify FILE` checks it."""

    sha256: str
    """SHA-256 of the report as JSON without blanks, keys sorted, `seal` null. The audit trail records it."""
    signature: str | None
    """HMAC-SHA256 of the digest under the key of the audit trail; null without a key."""
    key_id: str | None


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report. Sections that its kind does not include are null."""

    schema_version: Literal["2"] = SCHEMA_VERSION
    kind: ReportKind
    title: str
    organisation: str | None = None
    """From the policy's `reports.organisation`."""
    scope: str | None = None
    """What is assessed, from the policy's `reports.scope`."""
    requested_by: str | None = None
    """Who created the report."""
    reviewed_by: str | None = None
    """Who reviewed it."""
    source: Source
    service: str | None
    """Null for all services."""
    environment: str | None
    user: str | None = None
    """Only audit entries and errors of this user; null for all."""
    start: datetime
    end: datetime
    generated_at: datetime
    generated_by: str
    policy_sha256: str
    """SHA-256 of the policy that applied when the report was created."""
    coverage: MeasurementCoverage | None = None
    trends: list[Trend] | None = None
    performance: PerformanceSection | None = None
    errors: ErrorSection | None = None
    security: SecuritySection | None = None
    audit: AuditSection | None = None
    compliance: list[ComplianceNumbers] | None = None
    redactions: list[NamedCount] | None = None
    card_data: StoredCardData | None = None
    retention: RetentionSection | None = None
    requirements: list[Requirement] | None = None
    policies: list[PolicyUse] | None = None
    notes: list[str] = field(default_factory=list)
    """Limitations of the numbers."""
    seal: ReportSeal | None = None
