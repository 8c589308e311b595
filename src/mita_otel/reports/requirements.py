"""Which section of a report is evidence for which requirement of PCI DSS, and what none can show."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from mita_otel._plural import counted
from mita_otel.reports.findings import Requirement
from mita_otel.reports.model import Report


@dataclass(frozen=True, slots=True)
class Known:
    """A requirement, as `requirements.toml` has it."""

    id: str
    title: str
    section: str | None = None
    types: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    why: str = ""


@lru_cache(maxsize=1)
def known_requirements() -> tuple[Known, ...]:
    """Return the requirements."""
    text = files("mita_otel.reports").joinpath("requirements.toml").read_text("utf-8")
    return tuple(
        Known(
            id=one["id"],
            title=one["title"],
            section=one.get("section"),
            types=tuple(one.get("types", ())),
            rules=tuple(one.get("rules", ())),
            why=one.get("why", ""),
        )
        for one in tomllib.loads(text)["requirement"]
    )


def requirements_of(report: Report) -> list[Requirement]:
    """Return what a report's sections show of each requirement."""
    return [_judge(one, report) for one in known_requirements()]


def _judge(known: Known, report: Report) -> Requirement:
    if known.section is None:
        return Requirement(
            id=known.id,
            title=known.title,
            status="not_covered",
            sections=[],
            evidence=f"not covered by this report: {known.why}",
        )
    sections, good, evidence = _EVIDENCE[known.section](known, report)
    return Requirement(
        id=known.id,
        title=known.title,
        status="evidence" if good else "attention",
        sections=sections,
        evidence=evidence,
    )


_Evidence = tuple[list[str], bool, str]


def _redactions(known: Known, report: Report) -> _Evidence:
    counts = {one.name: one.count for one in report.redactions or []}
    if not counts:
        return (
            ["redactions"],
            False,
            "no value was taken out in the period: nothing shows that any was looked for",
        )
    told = ", ".join(f"{rule}: {counts.get(rule, 0):,}" for rule in known.rules)
    return ["redactions"], True, f"values taken out of telemetry before it was written or sent ({told})"


def _audit(known: Known, report: Report) -> _Evidence:
    counts = {one.name: one.count for one in report.audit.by_type} if report.audit else {}
    if not known.types:
        entries = report.audit.entries if report.audit else 0
        return ["audit"], entries > 0, f"{counted(entries, 'entry', 'entries')}, each with these fields"
    found = {name: counts[name] for name in known.types if counts.get(name)}
    if not found:
        return ["audit"], False, f"no entry of the types {', '.join(known.types)} in the period"
    return ["audit"], True, ", ".join(f"{name}: {count:,}" for name, count in found.items())


def _verification(known: Known, report: Report) -> _Evidence:
    done = report.audit.verification if report.audit else None
    if done is None:
        return ["audit"], False, "the audit trail was not verified for this report"
    told = (
        f"{counted(done.entries, 'entry', 'entries')} in {counted(done.chains, 'chain')}, "
        f"{counted(done.anchors, 'anchor')} compared"
    )
    if not done.ok:
        faults = counted(sum(one.count for one in done.faults), "fault")
        return ["audit"], False, f"verification found {faults}; {told}"
    if done.unkeyed_chains:
        unkeyed = counted(done.unkeyed_chains, "chain")
        return ["audit"], False, f"no fault found, but {unkeyed} without a key; {told}"
    if not done.anchors:
        return ["audit"], False, f"no fault found, but there were no anchors to compare with; {told}"
    return ["audit"], True, f"no fault found; {told}; changes are refused by the database's triggers"


def _security(known: Known, report: Report) -> _Evidence:
    security, audit = report.security, report.audit
    if security is None or audit is None:
        return ["security"], False, "this report has no security events"
    looked = (
        f"the trail was looked at on {audit.days_looked_at:,} of {counted(audit.days, 'day')} with entries"
    )
    told = (
        f"{counted(security.total, 'security event')}, {counted(security.failed_logins, 'failed login')}, "
        f"{counted(security.refused, 'refusal')}"
    )
    good = 0 < audit.days == audit.days_looked_at
    return ["security", "audit"], good, f"{looked}; {told}; for each day: `mita-otel report daily`"


def _retention(known: Known, report: Report) -> _Evidence:
    checks = [
        one for one in (report.retention.checks if report.retention else []) if known.id in one.regulation
    ]
    if not checks:
        return (
            ["retention"],
            False,
            "the policy says that this requirement does not apply (retention.regulations)",
        )
    told = "; ".join(f"{one.data}: {one.status.replace('_', ' ')} ({one.evidence})" for one in checks)
    return ["retention"], all(one.status != "not_met" for one in checks), told


def _failures(known: Known, report: Report) -> _Evidence:
    if report.audit is None:
        return ["audit"], False, "this report has no audit trail"
    failures = report.audit.failures
    told = (
        "no failure of the audit log"
        if not failures
        else f"{counted(failures, 'failure')} of the audit log, each an entry"
    )
    return ["audit"], not failures, told


_EVIDENCE = {
    "redactions": _redactions,
    "audit": _audit,
    "verification": _verification,
    "security": _security,
    "retention": _retention,
    "failures": _failures,
}
