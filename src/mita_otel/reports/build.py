"""Builds reports from the store: each kind is a choice of sections."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from importlib.metadata import version
from typing import Any, Final

from sqlalchemy.engine import Connection

from mita_otel.audit.findings import Verification as Found
from mita_otel.policy import Policy
from mita_otel.policy.fingerprint import policy_digest
from mita_otel.policy.reports import ReportPolicy
from mita_otel.reports.audit import audit_of, policies_of, told
from mita_otel.reports.errors import compliance_of, errors_of, redactions_of, security_of
from mita_otel.reports.findings import Verification
from mita_otel.reports.model import Report, ReportKind, Trend
from mita_otel.reports.performance import PerformanceReader
from mita_otel.reports.requirements import requirements_of
from mita_otel.reports.retention import retention_of
from mita_otel.reports.scope import Scope
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
"""What each kind of report shows."""

TITLES: Final[dict[ReportKind, str]] = {
    "performance": "Performance report",
    "compliance": "Compliance report",
    "daily": "Security events of the day",
    "weekly": "Performance and errors of the week",
    "monthly": "Compliance report of the month",
    "quarterly": "Executive summary of the quarter",
}

_NOTE: Final = (
    "Every span that the services' processes ended is counted, whether its trace was kept or not; "
    "what a process had not yet written when it was killed is missing. Percentiles are of all spans together, "
    "never means of percentiles."
)

OnProgress = Callable[[str], None]
"""Told what is being done."""


@dataclass(frozen=True, slots=True)
class Workplace:
    """What reports are made from."""

    database: Database
    policy: Policy
    now: datetime
    verify: Callable[[], Found] | None = None
    """Verifies the audit trail; None: it is not asked for."""
    waiting_bytes: int | None = None
    """What waits in this machine's spool."""
    on_progress: OnProgress = field(default=lambda what: None)
    summary: bool = False
    """Whether tables are short."""

    @property
    def shown(self) -> ReportPolicy:
        """How much is shown."""
        policy = self.policy.reports
        if not self.summary:
            return policy
        rows = policy.summary_rows
        return policy.replace(max_operations=rows, max_groups=rows, max_events=rows)


def build_report(kind: ReportKind, scope: Scope, workplace: Workplace) -> Report:
    """Build a report.

    Args:
        kind: Which.
        scope: What of.
        workplace: From what.

    Raises:
        StoreUnavailableError: The database does not answer.
    """
    sections = SECTIONS[kind]
    if kind == "quarterly":
        workplace = replace(workplace, summary=True)
    verification = _verify(workplace) if "audit" in sections else None
    with workplace.database.read() as connection:
        found = _sections(connection, sections, scope, workplace, verification)
    report = Report(
        kind=kind,
        title=TITLES[kind],
        source="store",
        service=scope.service,
        environment=scope.environment,
        user=scope.user_id,
        start=scope.period.start,
        end=scope.period.end,
        generated_at=workplace.now,
        generated_by=f"mita-otel {version('mita-otel')}",
        policy_sha256=policy_digest(workplace.policy),
        notes=_notes(scope, workplace),
        **found,
    )
    if "requirements" in sections:
        report = replace(report, requirements=requirements_of(report))
    return report


def _sections(
    connection: Connection,
    sections: tuple[str, ...],
    scope: Scope,
    workplace: Workplace,
    verification: Verification | None,
) -> dict[str, Any]:
    policy, shown = workplace.policy, workplace.shown
    found: dict[str, Any] = {}
    if "performance" in sections and scope.user_id is None:
        reader = _performance(connection, scope, workplace)
        found["coverage"], found["performance"] = reader.coverage(_NOTE), reader.performance()
    if "errors" in sections:
        workplace.on_progress("errors")
        found["errors"] = errors_of(connection, scope, shown)
    if "security" in sections:
        found["security"] = security_of(connection, scope, shown)
    if "audit" in sections:
        workplace.on_progress("audit entries")
        found["audit"] = audit_of(
            connection, scope, waiting_bytes=workplace.waiting_bytes, verification=verification
        )
    if "compliance" in sections:
        found["compliance"] = compliance_of(connection, scope)
    if "redactions" in sections and scope.user_id is None:
        found["redactions"] = redactions_of(connection, scope)
    if "retention" in sections:
        workplace.on_progress("retention")
        found["retention"] = retention_of(connection, policy.retention, workplace.now)
    if "policies" in sections and scope.user_id is None:
        found["policies"] = policies_of(connection, scope)
    if "trends" in sections:
        found["trends"] = _trends(connection, scope, workplace, found)
    return found


def _performance(connection: Connection, scope: Scope, workplace: Workplace) -> PerformanceReader:
    workplace.on_progress("latency windows")
    return PerformanceReader(
        connection,
        scope,
        workplace.shown,
        workplace.policy.summary.relative_error,
        now=workplace.now,
        on_progress=lambda count: workplace.on_progress(f"{count:,} latency windows"),
    )


def _trends(connection: Connection, scope: Scope, workplace: Workplace, found: dict[str, Any]) -> list[Trend]:
    before = scope.before()
    earlier = _performance(connection, before, workplace).performance().headline()
    earlier_errors = errors_of(connection, before, workplace.shown)
    now, errors = found["performance"].headline(), found["errors"]
    trends = [
        Trend(name=f"spans, {now.category}", now=now.count, before=earlier.count, unit="", better="neutral"),
        Trend(name="failed spans", now=_share(now.errors, now.count), before=_share(earlier.errors, earlier.count), unit="%", better="lower"),
        Trend(name="spans above their limit", now=_share(now.breaches, now.count), before=_share(earlier.breaches, earlier.count), unit="%", better="lower"),
        Trend(name="median", now=now.p50_ms, before=earlier.p50_ms, unit="ms", better="lower"),
        Trend(name="95th percentile", now=now.p95_ms, before=earlier.p95_ms, unit="ms", better="lower"),
        Trend(name="errors", now=errors.total, before=earlier_errors.total, unit="", better="lower"),
    ]  # fmt: skip
    if "security" in found:
        earlier_security = security_of(connection, before, workplace.shown)
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


def _verify(workplace: Workplace) -> Verification | None:
    if workplace.verify is None:
        return None
    workplace.on_progress("verifying the audit trail")
    return told(workplace.verify(), workplace.shown, workplace.now)


def _notes(scope: Scope, workplace: Workplace) -> list[str]:
    notes = []
    if scope.period.end > workplace.now:
        notes.append("The period is not over: the numbers are those up to now.")
    if scope.user_id is not None:
        notes.append("Of one person alone: performance, redactions and policies cannot be told of one.")
    if workplace.policy.sampling.mode == "head":
        notes.append(
            "The decision to keep a trace is taken at its head: spans of other traces are not counted."
        )
    return notes
