"""Assesses the evidence in a report for requirements of PCI DSS."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

from mita_otel._plural import counted
from mita_otel.reports.model import Report
from mita_otel.reports.sections import Requirement


@dataclass(frozen=True, slots=True)
class RequirementDefinition:
    """A requirement from `requirements.toml`."""

    id: str
    title: str
    section: str | None = None
    types: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    why: str = ""


@lru_cache(maxsize=1)
def requirement_definitions() -> tuple[RequirementDefinition, ...]:
    """Return the requirements of `requirements.toml`."""
    text = files("mita_otel.reports").joinpath("requirements.toml").read_text("utf-8")
    return tuple(
        RequirementDefinition(
            id=one["id"],
            title=one["title"],
            section=one.get("section"),
            types=tuple(one.get("types", ())),
            rules=tuple(one.get("rules", ())),
            why=one.get("why", ""),
        )
        for one in tomllib.loads(text)["requirement"]
    )


def assess_requirements(report: Report) -> list[Requirement]:
    """Return the evidence in a report for each requirement."""
    return [_assess(one, report) for one in requirement_definitions()]


def _assess(requirement: RequirementDefinition, report: Report) -> Requirement:
    if requirement.section is None:
        return Requirement(
            id=requirement.id,
            title=requirement.title,
            status="not_covered",
            sections=[],
            evidence=f"not covered by this report: {requirement.why}",
        )
    sections, good, evidence = _EVIDENCE[requirement.section](requirement, report)
    return Requirement(
        id=requirement.id,
        title=requirement.title,
        status="evidence" if good else "attention",
        sections=sections,
        evidence=evidence,
    )


_Evidence = tuple[list[str], bool, str]


def _redactions(requirement: RequirementDefinition, report: Report) -> _Evidence:
    counts = {one.name: one.count for one in report.redactions or []}
    if not counts:
        return (
            ["redactions"],
            False,
            "no value was redacted in the period, so there is no evidence of redaction",
        )
    counted_rules = ", ".join(f"{rule}: {counts.get(rule, 0):,}" for rule in requirement.rules)
    return ["redactions"], True, f"values redacted before telemetry was written or sent ({counted_rules})"


def _audit(requirement: RequirementDefinition, report: Report) -> _Evidence:
    counts = {one.name: one.count for one in report.audit.by_type} if report.audit else {}
    if not requirement.types:
        entries = report.audit.entries if report.audit else 0
        return ["audit"], entries > 0, f"{counted(entries, 'entry', 'entries')}, all with these fields"
    found = {name: counts[name] for name in requirement.types if counts.get(name)}
    if not found:
        return ["audit"], False, f"no entry of the types {', '.join(requirement.types)} in the period"
    return ["audit"], True, ", ".join(f"{name}: {count:,}" for name, count in found.items())


def _verification(requirement: RequirementDefinition, report: Report) -> _Evidence:
    done = report.audit.verification if report.audit else None
    if done is None:
        return ["audit"], False, "the audit trail was not verified for this report"
    summary = (
        f"{counted(done.entries, 'entry', 'entries')} in {counted(done.chains, 'chain')}, "
        f"{counted(done.anchors, 'anchor')} compared"
    )
    if not done.ok:
        faults = counted(sum(one.count for one in done.faults), "fault")
        return ["audit"], False, f"verification found {faults}; {summary}"
    if done.unkeyed_chains:
        unkeyed = counted(done.unkeyed_chains, "chain")
        return ["audit"], False, f"no fault found, but {unkeyed} unsigned; {summary}"
    if not done.anchors:
        return ["audit"], False, f"no fault found, but no anchors were compared; {summary}"
    return ["audit"], True, f"no fault found; {summary}; database triggers refuse changes"


def _security(requirement: RequirementDefinition, report: Report) -> _Evidence:
    security, audit = report.security, report.audit
    if security is None or audit is None:
        return ["security"], False, "this report has no security events"
    reviewed = (
        f"the trail was reviewed on {audit.days_reviewed:,} of {counted(audit.days, 'day')} with entries"
    )
    summary = (
        f"{counted(security.total, 'security event')}, {counted(security.failed_logins, 'failed login')}, "
        f"{counted(security.denied, 'denied operation')}"
    )
    good = 0 < audit.days == audit.days_reviewed
    return ["security", "audit"], good, f"{reviewed}; {summary}; for each day: `mita-otel report daily`"


def _retention(requirement: RequirementDefinition, report: Report) -> _Evidence:
    checks = [
        one
        for one in (report.retention.checks if report.retention else [])
        if requirement.id in one.regulation
    ]
    if not checks:
        return (
            ["retention"],
            False,
            "the policy excludes this requirement (retention.regulations)",
        )
    summary = "; ".join(f"{one.data}: {one.status.replace('_', ' ')} ({one.evidence})" for one in checks)
    return ["retention"], all(one.status != "not_met" for one in checks), summary


def _failures(requirement: RequirementDefinition, report: Report) -> _Evidence:
    if report.audit is None:
        return ["audit"], False, "this report has no audit trail"
    failures = report.audit.failures
    summary = (
        "no failure of the audit log"
        if not failures
        else f"{counted(failures, 'failure')} of the audit log, each recorded as an entry"
    )
    return ["audit"], not failures, summary


_EVIDENCE = {
    "redactions": _redactions,
    "audit": _audit,
    "verification": _verification,
    "security": _security,
    "retention": _retention,
    "failures": _failures,
}
