"""Requirements: what is evidence, what needs attention, what is not covered; nothing is claimed without numbers."""

from __future__ import annotations

from dataclasses import replace

from audit.kit import Kit
from mita_otel.audit.chain import Chain
from mita_otel.audit.draft import Draft
from mita_otel.audit.event import AuditEventType
from mita_otel.audit.findings import Fault, Verification
from mita_otel.reports.build import Workplace, build_report
from mita_otel.reports.model import Requirement
from mita_otel.reports.period import last_days
from mita_otel.reports.requirements import known_requirements, requirements_of
from mita_otel.reports.scope import Scope
from reports.seed import NOW

DAY_NS = 86_400 * 10**9
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


def test_a_report_that_nobody_looked_at_is_no_evidence_of_reviews(filled: Kit, workplace: Workplace) -> None:
    """What is kept daily can be reviewed daily; whether it was, the trail knows."""
    assert judged(workplace)["10.4.1"].status == "attention"
    with workplace.database.read() as connection:
        days = sorted(
            {
                ns // DAY_NS
                for (ns,) in connection.exec_driver_sql("SELECT recorded_ns FROM mita_audit_entries")
                if SCOPE.period.start_ns <= ns < SCOPE.period.end_ns
            }
        )
    assert f"looked at on 0 of {len(days)} days" in judged(workplace)["10.4.1"].evidence
    for number, day in enumerate(days):
        chain = Chain(filled.keys, clock_ns=lambda day=day: max(day * DAY_NS, SCOPE.period.start_ns))  # type: ignore[misc]
        draft = Draft({"type": "audit_read", "outcome": "success", "service": "mita-otel command"}, None)
        entry, _ = chain.seal(draft, chain.head)
        filled.ledger.add([entry])
        found = judged(workplace)["10.4.1"]
        assert f"looked at on {number + 1} of {len(days)} days" in found.evidence
    assert found.status == "evidence"
    assert judged(replace(workplace))["10.4.1"].status == "evidence"


def test_that_nothing_was_redacted_is_evidence_of_nothing(workplace: Workplace) -> None:
    report = build_report("compliance", SCOPE, workplace)
    without = replace(report, redactions=[])
    for shown, status in ((report, "evidence"), (without, "attention")):
        found = {one.id: one.status for one in requirements_of(shown)}
        assert found["3.3"] == found["3.4"] == status


def test_faults_missing_anchors_and_a_missing_verification_need_attention(
    filled: Kit, workplace: Workplace
) -> None:
    faulty = Verification(entries=1)
    faulty.add(Fault.CHANGED, "c", 1, "x")
    assert "found 1 fault;" in judged(replace(workplace, verify=lambda: faulty))["10.3.4"].evidence
    assert judged(replace(workplace, verify=lambda: faulty))["10.3.4"].status == "attention"
    assert (
        "no anchors" in judged(replace(workplace, verify=lambda: Verification(entries=1)))["10.3.2"].evidence
    )
    unkeyed = Verification(entries=1, anchors=1, unkeyed_chains=2)
    assert "2 chains without a key" in judged(replace(workplace, verify=lambda: unkeyed))["10.3.2"].evidence
    assert judged(replace(workplace, verify=None))["10.3.2"].status == "attention"


def test_large_counts_are_readable(workplace: Workplace) -> None:
    done = Verification(entries=12_345, anchors=1)
    assert (
        "12,345 entries in 0 chains, 1 anchor compared"
        in judged(replace(workplace, verify=lambda: done))["10.3.2"].evidence
    )


def test_retention_is_checked_against_the_regulations_that_apply(workplace: Workplace) -> None:
    assert "not yet" in judged(workplace)["10.5.1"].evidence
    none = workplace.policy.retention.replace(regulations=())
    policy = workplace.policy.replace(retention=none)
    assert judged(replace(workplace, policy=policy))["10.5.1"].status == "attention"
