"""Requirements: what is evidence, what needs attention, what is not covered; nothing is claimed without numbers."""

from __future__ import annotations

from dataclasses import replace

from audit.kit import Kit
from mita_otel.audit.event import AuditEventType
from mita_otel.audit.findings import Fault, Verification
from mita_otel.reports.build import Workplace, build_report
from mita_otel.reports.model import Requirement
from mita_otel.reports.period import last_days
from mita_otel.reports.requirements import known_requirements
from mita_otel.reports.scope import Scope
from reports.seed import NOW

SCOPE = Scope(last_days(7, NOW))


def judged(workplace: Workplace) -> dict[str, Requirement]:
    report = build_report("compliance", SCOPE, workplace)
    return {one.id: one for one in report.requirements or []}


def test_each_requirement_says_where_its_evidence_is_or_who_covers_it() -> None:
    for one in known_requirements():
        assert (one.section is None) == bool(one.why)
        assert set(one.types) <= set(AuditEventType)


def test_evidence_is_counted(workplace: Workplace) -> None:
    found = judged(workplace)
    assert found["10.2.1.4"].status == "evidence"
    assert found["10.2.1.4"].evidence == "login_failed: 20"
    assert found["10.3.2"].status == "evidence"
    assert "no fault found" in found["10.3.2"].evidence
    assert found["10.2.1.7"].status == "not_covered"
    assert found["10.7.2"].evidence == "no failure of the audit log"


def test_what_did_not_occur_needs_attention(workplace: Workplace) -> None:
    assert judged(workplace)["10.2.1.5"].status == "attention"


def test_faults_missing_anchors_and_a_missing_verification_need_attention(
    filled: Kit, workplace: Workplace
) -> None:
    faulty = Verification(entries=1)
    faulty.add(Fault.CHANGED, "c", 1, "x")
    assert "found 1 faults" in judged(replace(workplace, verify=lambda: faulty))["10.3.4"].evidence
    assert judged(replace(workplace, verify=lambda: faulty))["10.3.4"].status == "attention"
    assert (
        "no anchors" in judged(replace(workplace, verify=lambda: Verification(entries=1)))["10.3.2"].evidence
    )
    unkeyed = Verification(entries=1, anchors=1, unkeyed_chains=2)
    assert "2 chains have no key" in judged(replace(workplace, verify=lambda: unkeyed))["10.3.2"].evidence
    assert judged(replace(workplace, verify=None))["10.3.2"].status == "attention"


def test_retention_is_checked_against_the_regulations_that_apply(workplace: Workplace) -> None:
    assert "not yet" in judged(workplace)["10.5.1"].evidence
    none = workplace.policy.retention.model_copy(update={"regulations": ()})
    policy = workplace.policy.model_copy(update={"retention": none})
    assert judged(replace(workplace, policy=policy))["10.5.1"].status == "attention"
