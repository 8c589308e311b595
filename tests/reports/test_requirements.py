"""Requirements have evidence, need attention, or are not covered. Evidence is counted."""

from __future__ import annotations

from dataclasses import replace

from audit.kit import Kit
from mita_otel.audit.chain import Chain
from mita_otel.audit.draft import Draft
from mita_otel.audit.event import AuditEventType
from mita_otel.audit.verification.findings import AuditFault, VerificationResult
from mita_otel.reports.model import Requirement
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.requirements import assess_requirements, requirement_definitions
from mita_otel.reports.scope import ReportScope, last_days
from reports.seed import NOW

DAY_NS = 86_400 * 10**9
SCOPE = ReportScope(last_days(7, NOW))


def assessed(inputs: ReportInputs) -> dict[str, Requirement]:
    report = build_report("compliance", SCOPE, inputs)
    return {one.id: one for one in report.requirements or []}


def test_each_requirement_has_a_section_or_a_reason() -> None:
    for one in requirement_definitions():
        assert (one.section is None) == bool(one.why)
        assert set(one.types) <= set(AuditEventType)


def test_evidence_is_counted(inputs: ReportInputs) -> None:
    found = assessed(inputs)
    assert found["10.2.1.4"].status == "evidence"
    assert found["10.2.1.4"].evidence == "login_failed: 20"
    assert found["10.3.2"].status == "evidence"
    assert "no fault found" in found["10.3.2"].evidence
    assert found["10.2.1.7"].status == "not_covered"
    assert found["10.7.2"].evidence == "no failure of the audit log"


def test_a_requirement_without_events_needs_attention(inputs: ReportInputs) -> None:
    assert assessed(inputs)["10.2.1.5"].status == "attention"


def test_only_audited_reviews_are_evidence_of_daily_review(filled: Kit, inputs: ReportInputs) -> None:
    """The trail records whether it was reviewed."""
    assert assessed(inputs)["10.4.1"].status == "attention"
    with inputs.database.read() as connection:
        days = sorted(
            {
                ns // DAY_NS
                for (ns,) in connection.exec_driver_sql("SELECT recorded_ns FROM mita_audit_entries")
                if SCOPE.period.start_ns <= ns < SCOPE.period.end_ns
            }
        )
    assert f"reviewed on 0 of {len(days)} days" in assessed(inputs)["10.4.1"].evidence
    for number, day in enumerate(days):
        chain = Chain(filled.keys, clock_ns=lambda day=day: max(day * DAY_NS, SCOPE.period.start_ns))  # type: ignore[misc]
        draft = Draft({"type": "audit_read", "outcome": "success", "service": "mita-otel command"}, None)
        entry, _ = chain.seal(draft, chain.head)
        filled.ledger.add([entry])
        found = assessed(inputs)["10.4.1"]
        assert f"reviewed on {number + 1} of {len(days)} days" in found.evidence
    assert found.status == "evidence"
    assert assessed(replace(inputs))["10.4.1"].status == "evidence"


def test_no_redactions_are_no_evidence(inputs: ReportInputs) -> None:
    report = build_report("compliance", SCOPE, inputs)
    without = replace(report, redactions=[])
    for shown, status in ((report, "evidence"), (without, "attention")):
        found = {one.id: one.status for one in assess_requirements(shown)}
        assert found["3.3"] == found["3.4"] == status


def test_faults_missing_anchors_and_a_missing_verification_need_attention(
    filled: Kit, inputs: ReportInputs
) -> None:
    faulty = VerificationResult(entries=1)
    faulty.add(AuditFault.CHANGED, "c", 1, "x")
    assert "found 1 fault;" in assessed(replace(inputs, verify=lambda: faulty))["10.3.4"].evidence
    assert assessed(replace(inputs, verify=lambda: faulty))["10.3.4"].status == "attention"
    assert (
        "no anchors were compared"
        in assessed(replace(inputs, verify=lambda: VerificationResult(entries=1)))["10.3.2"].evidence
    )
    unkeyed = VerificationResult(entries=1, anchors=1, unkeyed_chains=2)
    assert "2 chains unsigned" in assessed(replace(inputs, verify=lambda: unkeyed))["10.3.2"].evidence
    assert assessed(replace(inputs, verify=None))["10.3.2"].status == "attention"


def test_large_counts_are_readable(inputs: ReportInputs) -> None:
    done = VerificationResult(entries=12_345, anchors=1)
    assert (
        "12,345 entries in 0 chains, 1 anchor compared"
        in assessed(replace(inputs, verify=lambda: done))["10.3.2"].evidence
    )


def test_retention_is_checked_against_the_regulations_that_apply(inputs: ReportInputs) -> None:
    assert "not yet" in assessed(inputs)["10.5.1"].evidence
    none = inputs.policy.retention.replace(regulations=())
    policy = inputs.policy.replace(retention=none)
    assert assessed(replace(inputs, policy=policy))["10.5.1"].status == "attention"
