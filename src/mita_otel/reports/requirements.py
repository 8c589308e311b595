"""Assesses the evidence in a report for requirements of PCI DSS.

Each status is computed from what the requirement asks. Evidence names what contradicts it: how many, and the first.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final, Literal

from mita_otel._text import counted
from mita_otel.reports.definitions import RequirementDefinition, requirement_definitions
from mita_otel.reports.model import Report
from mita_otel.reports.sections import DayReview, Requirement, RequirementEntries

FIELDS: Final = {
    "user": "user identification",
    "type": "type of event",
    "time": "date and time",
    "outcome": "success or failure",
    "origination": "origination",
    "resource": "affected data or resource",
    "start": "entry about the start, as the first of its chain,",
}
"""Names of the fields that entries must have."""
_REQUIREMENT: Final = re.compile(r"(?:req(?:uirement)?[ ._-]*)?(\d+(?:\.\d+)*)", re.IGNORECASE)
_REGULATION: Final = re.compile(r"pci[ _-]?dss", re.IGNORECASE)

Status = Literal["evidence", "attention", "not_yet"]


@dataclass(frozen=True, slots=True)
class _Assessment:
    sections: tuple[str, ...]
    status: Status
    evidence: str
    count: int = 0
    """Counter-examples."""
    examples: tuple[str, ...] = ()


def assess_requirements(report: Report) -> list[Requirement]:
    """Return the evidence in a report for each requirement."""
    return [_requirement(one, report) for one in requirement_definitions()]


def _requirement(definition: RequirementDefinition, report: Report) -> Requirement:
    if definition.section is None:
        return Requirement(
            id=definition.id,
            title=definition.title,
            status="not_covered",
            sections=[],
            evidence=f"not covered by this report: {definition.why}",
            counter_examples=0,
            examples=[],
            limitation="",
        )
    found = _with_violations(_ASSESSMENTS[definition.section](definition, report), definition, report)
    return Requirement(
        id=definition.id,
        title=definition.title,
        status=found.status,
        sections=list(found.sections),
        evidence=found.evidence,
        counter_examples=found.count,
        examples=list(found.examples),
        limitation=definition.limitation,
    )


def _with_violations(found: _Assessment, definition: RequirementDefinition, report: Report) -> _Assessment:
    """Add the violations of the requirement that services reported."""
    count = sum(
        one.count
        for one in report.compliance or []
        if one.violation and _REGULATION.search(one.regulation) and _is_about(one.requirement, definition.id)
    )
    if not count:
        return found
    return replace(
        found,
        status="attention",
        sections=(*found.sections, "compliance"),
        evidence=f"services reported {counted(count, 'violation')} of this requirement; {found.evidence}",
        count=found.count + count,
    )


def _is_about(requirement: str, definition_id: str) -> bool:
    """Return whether a reported requirement, as in `3.4_Secure_Cardholder_Data`, is one of ours or contains it."""
    match = _REQUIREMENT.match(requirement.strip())
    if match is None:
        return False
    reported = match[1]
    return f"{reported}.".startswith(f"{definition_id}.") or f"{definition_id}.".startswith(f"{reported}.")


def _redactions(definition: RequirementDefinition, report: Report) -> _Assessment:
    stored = report.card_data
    searched = (
        f"{counted(stored.searched, 'stored row')} searched" if stored is not None else "no row searched"
    )
    left = {one.name: one.count for one in stored.by_rule if one.name in definition.rules} if stored else {}
    if stored is not None and left:
        values = ", ".join(f"{rule}: {count:,}" for rule, count in left.items())
        evidence = f"values that were not redacted are stored ({values}; first: {', '.join(stored.examples)}); {searched}"
        return _Assessment(("redactions",), "attention", evidence, sum(left.values()), tuple(stored.examples))
    if report.redactions is None:
        return _Assessment(
            ("redactions",),
            "attention",
            f"redactions are not recorded by person; {searched}, none with such values",
        )
    counts = {one.name: one.count for one in report.redactions}
    by_rule = ", ".join(f"{rule}: {counts.get(rule, 0):,}" for rule in definition.rules)
    if not any(counts.get(rule) for rule in definition.rules):
        none = f"no value was redacted by these rules in the period ({by_rule})"
        return _Assessment(("redactions",), "attention", f"{none}, so there is no evidence of redaction")
    return _Assessment(
        ("redactions",),
        "evidence",
        f"values redacted before telemetry was written or sent ({by_rule}); {searched}, none with such values",
    )


def _entries(definition: RequirementDefinition, report: Report) -> _Assessment:
    checks = report.audit.checks if report.audit else []
    found = next((one for one in checks if one.requirement == definition.id), None)
    if found is None or not found.entries:
        which = f"of the types {', '.join(definition.types)} " if definition.types else ""
        return _Assessment(("audit",), "attention", f"no entry {which}in the period")
    missing = [
        f"{FIELDS[one.field]} missing in {one.missing:,} of {counted(found.entries, 'entry', 'entries')} "
        f"(first: {', '.join(one.examples)})"
        for one in found.fields
        if one.missing
    ]
    evidence = "; ".join([*missing, _summary(definition, found, report)])
    examples = tuple(dict.fromkeys(example for one in found.fields for example in one.examples))
    assessed = _Assessment(
        ("audit",), "attention" if missing else "evidence", evidence, found.faulty, examples
    )
    return _with_failed_logins(assessed, report) if "login_failed" in definition.types else assessed


def _summary(definition: RequirementDefinition, found: RequirementEntries, report: Report) -> str:
    if definition.types:
        return ", ".join(f"{one.name}: {one.count:,}" for one in found.by_type)
    present = [FIELDS[one.field] for one in found.fields if not one.missing]
    summary = (
        f"{counted(found.entries, 'entry', 'entries')}, all with {', '.join(present)}" if present else ""
    )
    automatic = report.audit.automatic if report.audit else 0
    own = (
        f"{counted(automatic, 'entry', 'entries')} of services themselves: user identification is the service"
    )
    return "; ".join(filter(None, [summary, own if automatic else ""]))


def _with_failed_logins(found: _Assessment, report: Report) -> _Assessment:
    """Compare failed logins in the trail with those that services reported as security events."""
    security = report.security
    if security is None or security.failed_logins_reported <= security.failed_logins:
        return found
    missing = security.failed_logins_reported - security.failed_logins
    return replace(
        found,
        status="attention",
        sections=(*found.sections, "security"),
        evidence=f"{counted(missing, 'failed login')} of {security.failed_logins_reported:,} that services reported "
        f"have no entry; {found.evidence}",
        count=found.count + missing,
    )


def _verification(definition: RequirementDefinition, report: Report) -> _Assessment:
    done = report.audit.verification if report.audit else None
    if done is None:
        return _Assessment(("audit",), "attention", "the audit trail was not verified for this report")
    summary = (
        f"{counted(done.entries, 'entry', 'entries')} in {counted(done.chains, 'chain')}, "
        f"{counted(done.anchors, 'anchor')} compared"
    )
    if not done.ok:
        faults = sum(one.count for one in done.faults)
        where = tuple(
            one.chain if one.sequence is None else f"{one.chain} {one.sequence}" for one in done.findings
        )
        evidence = f"verification found {counted(faults, 'fault')}; {summary}"
        return _Assessment(("audit",), "attention", evidence, faults, where)
    if done.unkeyed_chains:
        evidence = f"no fault found, but {counted(done.unkeyed_chains, 'chain')} unsigned; {summary}"
        return _Assessment(("audit",), "attention", evidence, done.unkeyed_chains)
    if not done.anchors:
        return _Assessment(
            ("audit",), "attention", f"no fault found, but no anchors were compared; {summary}"
        )
    if done.unanchored_chains:
        evidence = (
            f"no fault found, but {counted(done.unanchored_chains, 'chain')} without an anchor (first: "
            f"{', '.join(done.unanchored)}): deleted last entries of these would not be found; {summary}"
        )
        return _Assessment(("audit",), "attention", evidence, done.unanchored_chains, tuple(done.unanchored))
    if not done.entries:
        return _Assessment(("audit",), "attention", f"the audit trail is empty; {summary}")
    return _Assessment(("audit",), "evidence", f"no fault found; {summary}; database triggers refuse changes")


def _reviews(definition: RequirementDefinition, report: Report) -> _Assessment:
    audit = report.audit
    if audit is None or not audit.reviews:
        return _Assessment(("audit",), "attention", "no audit entry and no security event in the period")
    due = [one for one in audit.reviews if one.status != "not_due"]
    open_days = [one for one in due if one.status != "reviewed"]
    waiting = len(audit.reviews) - len(due)
    parts = [f"reviewed on {audit.days_reviewed:,} of {counted(audit.days, 'day')} with events"]
    if open_days:
        parts.append(f"not within 24 hours: {_day_list(open_days)}")
    if waiting:
        parts.append(f"the review of {counted(waiting, 'day')} is not due yet")
    people = sorted({one.by for one in due if one.by is not None})
    if people:
        parts.append(f"by {', '.join(people)}")
    status: Status = "attention" if open_days else "evidence" if due else "not_yet"
    evidence = "; ".join(parts)
    if status != "evidence":
        evidence += "; each day, for the day before: `mita-otel report daily`"
    days = tuple(one.day for one in open_days)
    return _Assessment(("security", "audit"), status, evidence, len(days), days[:_MAX_DAYS])


_MAX_DAYS: Final = 10


def _day_list(days: list[DayReview]) -> str:
    shown = ", ".join(f"{one.day}{' (late)' if one.status == 'late' else ''}" for one in days[:_MAX_DAYS])
    return f"{shown} and {len(days) - _MAX_DAYS:,} more" if len(days) > _MAX_DAYS else shown


def _retention(definition: RequirementDefinition, report: Report) -> _Assessment:
    checks = [
        one
        for one in (report.retention.checks if report.retention else [])
        if definition.id in one.regulation
    ]
    if not checks:
        return _Assessment(
            ("retention",), "attention", "the policy excludes this requirement (retention.regulations)"
        )
    summary = "; ".join(f"{one.data}: {one.status.replace('_', ' ')} ({one.evidence})" for one in checks)
    statuses = {one.status for one in checks}
    status: Status = (
        "attention" if "not_met" in statuses else "not_yet" if "not_yet" in statuses else "evidence"
    )
    return _Assessment(("retention",), status, summary, sum(one.too_early for one in checks))


def _failures(definition: RequirementDefinition, report: Report) -> _Assessment:
    audit = report.audit
    if audit is None:
        return _Assessment(("audit",), "attention", "this report has no audit trail")
    if not audit.entries:
        return _Assessment(
            ("audit",),
            "attention",
            "no entry in the period, so there is no evidence that the audit log worked",
        )
    if not audit.failures:
        return _Assessment(("audit",), "evidence", "no failure of the audit log")
    failures = counted(audit.failures, "failure")
    return _Assessment(
        ("audit",),
        "attention",
        f"{failures} of the audit log, each recorded as an entry once the log worked again; "
        "add how each was addressed (`mita-otel audit search --type audit_failure`)",
        audit.failures,
    )


_ASSESSMENTS: Final = {
    "redactions": _redactions,
    "entries": _entries,
    "verification": _verification,
    "reviews": _reviews,
    "retention": _retention,
    "failures": _failures,
}
