"""A report as data: what every format shows. Its JSON schema is documented in `docs/reference/report.md`."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from mita_otel.reports.findings import (
    Audit,
    ComplianceNumbers,
    Errors,
    NamedCount,
    PolicySeen,
    Requirement,
    Retention,
    Security,
)

ReportKind = Literal["performance", "compliance", "daily", "weekly", "monthly", "quarterly"]
Source = Literal["store", "sentry"]

SCHEMA_VERSION: Final = "1"


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A stretch of time in which nothing was measured."""

    start: datetime
    end: datetime


@dataclass(frozen=True, kw_only=True)
class Coverage:
    """What the numbers are of, so that nobody reads more into them than there is."""

    first: datetime | None
    """When the first span of the period ended; null: there is none."""
    last: datetime | None
    minutes: int
    """Minutes of the period that are over."""
    minutes_measured: int
    """Of these, minutes in which at least one span ended. (Older data is kept by the hour: such an hour counts whole.)"""
    gaps: list[Gap]
    """The longest stretches without any span, the longest first."""
    relative_error: float
    """By how much of its value a percentile may be off."""
    note: str
    """What is and what is not in the numbers, in words."""


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Counts and durations of spans."""

    count: int
    errors: int
    """Failed spans."""
    breaches: int
    """Spans above their limit."""
    mean_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p90_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class CategoryNumbers(Numbers):
    """The numbers of a category, such as `api`."""

    category: str


@dataclass(frozen=True, kw_only=True)
class OperationNumbers(CategoryNumbers):
    """The numbers of an operation."""

    operation: str
    rule: str | None
    limit_ms: float | None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a plot over time."""

    start: datetime
    category: str
    count: int
    errors: int
    breaches: int
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, kw_only=True)
class SlowSpan:
    """One of the slowest spans."""

    category: str
    operation: str
    duration_ms: float
    trace_id: str
    at: datetime


@dataclass(frozen=True, kw_only=True)
class BreachNumbers:
    """The breaches of a rule."""

    rule: str
    kind: str
    limit_ms: float
    """As it was at the last breach."""
    count: int
    worst_ms: float
    worst_name: str
    worst_trace_id: str


@dataclass(frozen=True, kw_only=True)
class Performance:
    """How fast the service was."""

    total: Numbers
    categories: list[CategoryNumbers]
    operations: list[OperationNumbers]
    """Those that took the most time in all, first."""
    operations_left_out: int
    steps: list[Step]
    slowest: list[SlowSpan]
    breaches: list[BreachNumbers]
    """From kept traces; every trace with a breach is kept."""

    def headline(self) -> CategoryNumbers:
        """Return the numbers that stand for all: those of requests, if there are any; spans lie within spans."""
        for one in self.categories:
            if one.category == "api":
                return one
        return CategoryNumbers(category="all", **vars(self.total))


@dataclass(frozen=True, kw_only=True)
class Trend:
    """A number beside that of the period before."""

    name: str
    now: float | None
    before: float | None
    unit: Literal["", "ms", "%"]
    better: Literal["lower", "higher", "neutral"]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A report. Sections that its kind does not have are null."""

    schema_version: Literal["1"] = SCHEMA_VERSION
    kind: ReportKind
    title: str
    source: Source
    service: str | None
    """Null: all services in the store."""
    environment: str | None
    user: str | None = None
    """Audit entries and errors of this person alone; null: of everybody."""
    start: datetime
    end: datetime
    generated_at: datetime
    generated_by: str
    policy_sha256: str
    """Of the policy that the report was made under."""
    coverage: Coverage | None = None
    trends: list[Trend] | None = None
    performance: Performance | None = None
    errors: Errors | None = None
    security: Security | None = None
    audit: Audit | None = None
    compliance: list[ComplianceNumbers] | None = None
    redactions: list[NamedCount] | None = None
    retention: Retention | None = None
    requirements: list[Requirement] | None = None
    policies: list[PolicySeen] | None = None
    notes: list[str] = field(default_factory=list)
    """What a reader has to know."""
