"""Builds reports from the store. Each kind of report has its sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy.engine import Connection

from mita_otel._versions import version_of
from mita_otel.audit.verification.findings import VerificationResult
from mita_otel.policy import Policy
from mita_otel.policy.storage import ReportPolicy
from mita_otel.reports.audit_query import read_audit, read_policies, verification_section
from mita_otel.reports.errors_query import read_compliance, read_errors, read_redactions, read_security
from mita_otel.reports.model import Report, ReportKind, Trend
from mita_otel.reports.performance_query import PerformanceReader
from mita_otel.reports.requirements import assess_requirements
from mita_otel.reports.scope import ReportScope
from mita_otel.reports.sections import AuditVerification
from mita_otel.reports.stored_data import find_card_data, read_retention
from mita_otel.store.database import Database

SECTIONS: Final[dict[ReportKind, tuple[str, ...]]] = {
    "performance": ("performance",),
    "daily": ("security", "audit", "errors"),
    "weekly": ("performance", "errors", "trends"),
    "monthly": (
        "performance", "errors", "security", "audit", "compliance", "redactions", "retention", "policies",
        "requirements",
    ),
    "compliance": (
        "performance", "errors", "security", "audit", "compliance", "redactions", "retention", "policies",
        "requirements",
    ),
    "quarterly": (
        "performance", "errors", "security", "audit", "compliance", "redactions", "retention", "policies",
        "requirements", "trends",
    ),
}  # fmt: skip
"""Sections of each kind of report."""

TITLES: Final[dict[ReportKind, str]] = {
    "performance": "Performance report",
    "compliance": "Compliance report",
    "daily": "Security events of the day",
    "weekly": "Performance and errors of the week",
    "monthly": "Compliance report of the month",
    "quarterly": "Executive summary of the quarter",
}

_NOTE: Final = (
    "Every finished span is counted, whether its trace was kept or not. Counts that a process had not written "
    "when it was killed are missing. Percentiles cover all spans together; they are never averages of percentiles."
)

OnProgress = Callable[[str], None]
"""Called with a description of the current step."""


@dataclass(frozen=True, slots=True)
class ReportInputs:
    """Data sources and settings of a report."""

    database: Database
    policy: Policy
    now: datetime
    verify: Callable[[], VerificationResult] | None = None
    """Verifies the audit trail; None skips it."""
    waiting_bytes: int | None = None
    """Bytes that wait in the spool of this machine."""
    requested_by: str | None = None
    """Who creates the report."""
    reviewed_by: str | None = None
    """Who reviewed it."""
    on_progress: OnProgress = field(default=lambda step: None)
    summary: bool = False
    """Whether tables are shortened."""

    @property
    def shown(self) -> ReportPolicy:
        """How much is shown."""
        policy = self.policy.reports
        if not self.summary:
            return policy
        rows = policy.summary_rows
        return policy.replace(max_operations=rows, max_groups=rows, max_events=rows)


def build_report(kind: ReportKind, scope: ReportScope, inputs: ReportInputs) -> Report:
    """Build a report.

    Args:
        kind: Kind of report.
        scope: Period, service, environment and person.
        inputs: Data sources and settings.

    Raises:
        StoreUnavailableError: The database does not respond.
    """
    sections = SECTIONS[kind]
    if kind == "quarterly":
        inputs = replace(inputs, summary=True)
    verification = _verify(inputs) if "audit" in sections else None
    with inputs.database.read() as connection:
        found = _sections(connection, sections, scope, inputs, verification)
    report = Report(
        kind=kind,
        title=TITLES[kind],
        organisation=inputs.policy.reports.organisation or None,
        scope=inputs.policy.reports.scope or None,
        requested_by=inputs.requested_by,
        reviewed_by=inputs.reviewed_by,
        source="store",
        service=scope.service,
        environment=scope.environment,
        user=scope.user_id,
        start=scope.period.start,
        end=scope.period.end,
        generated_at=inputs.now,
        generated_by=f"mita-otel {version_of('mita-otel')}",
        policy_sha256=inputs.policy.digest(),
        notes=_notes(scope, inputs),
        **found,
    )
    if "requirements" in sections:
        report = replace(report, requirements=assess_requirements(report))
    return report


def _sections(
    connection: Connection,
    sections: tuple[str, ...],
    scope: ReportScope,
    inputs: ReportInputs,
    verification: AuditVerification | None,
) -> dict[str, Any]:
    policy, shown = inputs.policy, inputs.shown
    found: dict[str, Any] = {}
    if "performance" in sections and scope.user_id is None:
        reader = _performance(connection, scope, inputs)
        found["coverage"], found["performance"] = reader.coverage(_NOTE), reader.performance()
    if "errors" in sections:
        inputs.on_progress("errors")
        found["errors"] = read_errors(connection, scope, shown)
    if "audit" in sections:
        inputs.on_progress("audit entries")
        found["audit"] = read_audit(
            connection,
            scope,
            shown,
            inputs.now,
            waiting_bytes=inputs.waiting_bytes,
            verification=verification,
        )
    if "security" in sections:
        found["security"] = read_security(connection, scope, shown, policy.audit, found.get("audit"))
    if "compliance" in sections:
        found["compliance"] = read_compliance(connection, scope, policy.finance.compliance.violations)
    if "redactions" in sections:
        found.update(_redactions(connection, scope, inputs))
    if "retention" in sections:
        inputs.on_progress("retention")
        found["retention"] = read_retention(connection, policy.retention, inputs.now)
    if "policies" in sections and scope.user_id is None:
        found["policies"] = read_policies(connection, scope)
    if "trends" in sections:
        found["trends"] = _trends(connection, scope, inputs, found)
    return found


def _redactions(connection: Connection, scope: ReportScope, inputs: ReportInputs) -> dict[str, Any]:
    inputs.on_progress("stored card data")
    return {
        "redactions": read_redactions(connection, scope) if scope.user_id is None else None,
        "card_data": find_card_data(connection, scope, inputs.shown),
    }


def _performance(connection: Connection, scope: ReportScope, inputs: ReportInputs) -> PerformanceReader:
    inputs.on_progress("latency windows")
    return PerformanceReader(
        connection,
        scope,
        inputs.shown,
        inputs.policy.summary.relative_error,
        now=inputs.now,
        on_progress=lambda count: inputs.on_progress(f"{count:,} latency windows"),
    )


def _trends(
    connection: Connection, scope: ReportScope, inputs: ReportInputs, found: dict[str, Any]
) -> list[Trend]:
    before = scope.before()
    earlier = _performance(connection, before, inputs).performance().headline()
    earlier_errors = read_errors(connection, before, inputs.shown)
    now, errors = found["performance"].headline(), found["errors"]
    trends = [
        Trend(name=f"spans, {now.category}", now=now.count, before=earlier.count, unit="", better="neutral"),
        Trend(name="failed spans", now=_share(now.errors, now.count), before=_share(earlier.errors, earlier.count), unit="%", better="lower"),
        Trend(name="spans that exceeded their limit", now=_share(now.breaches, now.count), before=_share(earlier.breaches, earlier.count), unit="%", better="lower"),
        Trend(name="median", now=now.p50_ms, before=earlier.p50_ms, unit="ms", better="lower"),
        Trend(name="95th percentile", now=now.p95_ms, before=earlier.p95_ms, unit="ms", better="lower"),
        Trend(name="errors", now=errors.total, before=earlier_errors.total, unit="", better="lower"),
    ]  # fmt: skip
    if "security" in found:
        earlier_security = read_security(connection, before, inputs.shown, inputs.policy.audit)
        trends.append(
            Trend(
                name="security events",
                now=found["security"].total,
                before=earlier_security.total,
                unit="",
                better="lower",
            )
        )
    return trends


def _share(part: int, whole: int) -> float | None:
    return round(100 * part / whole, 4) if whole else None


def _verify(inputs: ReportInputs) -> AuditVerification | None:
    if inputs.verify is None:
        return None
    inputs.on_progress("verifying the audit trail")
    return verification_section(inputs.verify(), inputs.shown, inputs.now)


def _notes(scope: ReportScope, inputs: ReportInputs) -> list[str]:
    notes = []
    if scope.period.end > inputs.now:
        notes.append("The period has not ended: the numbers cover the time until now.")
    if scope.user_id is not None:
        notes.append(
            "This report covers one person, and so do its requirements. It has no performance, redactions and policies, because they are not recorded by person."
        )
    if inputs.policy.sampling.mode == "head":
        notes.append("Traces are sampled at their start: spans of unsampled traces are not counted.")
    return notes
