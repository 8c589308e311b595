"""Requirements have evidence, need attention, or are not covered. Evidence is counted."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from audit.kit import KEY, Kit, kit
from mita_otel import AuditEvent
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import Chain
from mita_otel.audit.draft import Draft, Drafter, Origin
from mita_otel.audit.event import COMMAND_SERVICE, AuditEventType
from mita_otel.audit.retention.subjects import Subjects
from mita_otel.audit.verification.findings import AuditFault, VerificationResult
from mita_otel.reports.definitions import requirement_definitions
from mita_otel.reports.model import Requirement
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.requirements import assess_requirements
from mita_otel.reports.scope import Period, ReportScope, last_days
from mita_otel.reports.sections import ComplianceNumbers, DayReview, NamedCount
from mita_otel.store.database import insert_rows
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import ErrorRow
from reports.seed import NOW

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
    assert found["10.2.1.1"].status == "evidence"
    assert found["10.2.1.1"].evidence == "data_access: 20, payment_process: 20"
    assert found["10.3.2"].status == "evidence"
    assert "no fault found" in found["10.3.2"].evidence
    assert found["10.2.1.7"].status == "not_covered"
    assert found["10.7.2"].evidence == "no failure of the audit log"
    for one in found.values():
        assert bool(one.limitation) == (one.status != "not_covered"), one.id


def test_a_requirement_without_events_needs_attention(inputs: ReportInputs) -> None:
    found = assessed(inputs)["10.2.1.5"]
    assert (found.status, found.counter_examples) == ("attention", 0)
    assert found.evidence.startswith("no entry of the types password_change")


def test_failed_logins_without_an_entry_contradict_the_trail(inputs: ReportInputs) -> None:
    report = build_report("compliance", SCOPE, inputs)
    security = report.security
    assert security is not None
    reported, missing = security.failed_logins_reported, security.failed_logins_reported - 20
    assert missing > 0
    found = assessed(inputs)["10.2.1.4"]
    assert (found.status, found.counter_examples) == ("attention", missing)
    assert f"{missing} failed logins of {reported} that services reported have no entry" in found.evidence
    matching = replace(report, security=replace(security, failed_logins_reported=20))
    assert {one.id: one.status for one in assess_requirements(matching)}["10.2.1.4"] == "evidence"


def entries(kit: Kit, *events: AuditEvent) -> dict[str, Requirement]:
    """Return the requirements of a trail with these events."""
    kit.ledger.add([])
    for event in events:
        kit.trail.record(event)
    kit.trail.flush(30)
    now = datetime.now(UTC)
    report = build_report(
        "compliance", ReportScope(last_days(1, now)), ReportInputs(kit.database, kit.policy, now)
    )
    return {one.id: one for one in report.requirements or []}


def access(**fields: Any) -> AuditEvent:
    return AuditEvent(**{"event_type": "data_access", "user_id": "u1", "resource_id": "r1", **fields})


def test_entries_without_a_user_contradict_their_requirements(tmp_path: Path) -> None:
    with kit(tmp_path) as trail:
        found = entries(trail, *(access(user_id=None) for _ in range(68)), access())
        rows = trail.rows("chain, sequence", "event_type = 'data_access' AND user_id IS NULL")
    first = [f"{chain} {sequence}" for chain, sequence in rows[:5]]
    for requirement, of in (("10.2.1.1", 69), ("10.2.2", 71)):
        one = found[requirement]
        assert (one.status, one.counter_examples, one.examples) == ("attention", 68, first)
        assert f"user identification missing in 68 of {of} entries (first: {first[0]}, " in one.evidence


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"user_id": "anonymous"}, "user identification"),
        ({"user_id": " - "}, "user identification"),
        ({"user_id": "4111 1111 1111 1111"}, "user identification"),
        ({"outcome": "unknown"}, "success or failure"),
        ({"resource_id": None}, "affected data or resource"),
    ],
)
def test_each_field_of_an_entry_is_checked(tmp_path: Path, fields: dict[str, Any], field: str) -> None:
    with kit(tmp_path) as trail:
        one = entries(trail, access(), access(**fields))["10.2.2"]
    assert (one.status, one.counter_examples) == ("attention", 1)
    assert one.evidence.startswith(f"{field} missing in 1 of 4 entries (first: ")


def test_complete_entries_are_evidence(tmp_path: Path) -> None:
    with kit(tmp_path) as trail:
        found = entries(trail, access(), AuditEvent(event_type="login", user_id="u1"))
    assert found["10.2.2"].status == "evidence"
    assert found["10.2.2"].evidence == (
        "4 entries, all with user identification, type of event, date and time, success or failure, origination, "
        "affected data or resource; 2 entries of services themselves: user identification is the service"
    )
    assert found["10.2.1.6"].evidence == "audit_start: 1"


def test_entries_written_at_the_start_are_not_actions_of_administrators(tmp_path: Path) -> None:
    with kit(tmp_path) as trail:
        assert entries(trail, access())["10.2.1.2"].status == "attention"
        change = AuditEvent(event_type="configuration_change", resource_type="policy", resource_id="limits")
        without_user = entries(trail, change)["10.2.1.2"]
        by_user = entries(trail, replace(change, user_id="admin"))["10.2.1.2"]
    assert (without_user.status, without_user.counter_examples) == ("attention", 1)
    assert by_user.evidence.endswith("configuration_change: 2")


def test_an_erased_person_was_identified(tmp_path: Path) -> None:
    with kit(tmp_path) as trail:
        entries(trail, access())
        Subjects(trail.database, trail.trail).erase("u1", reason="request", by="dpo")
        assert entries(trail)["10.2.1.1"].status == "evidence"


def test_entries_of_another_environment_do_not_count(tmp_path: Path) -> None:
    with kit(tmp_path, environment="staging") as trail:
        entries(trail, access())
        now = datetime.now(UTC)
        scope = ReportScope(last_days(1, now), environment="production")
        report = build_report("compliance", scope, ReportInputs(trail.database, trail.policy, now))
    assert report.audit is not None
    assert report.audit.entries == 0
    assert {one.id: one.status for one in report.requirements or []}["10.7.2"] == "attention"


def test_a_chain_without_its_start_is_reported(tmp_path: Path) -> None:
    chain = Chain(AuditKeys(KEY.encode()))
    draft = Draft({"type": "login", "outcome": "success", "service": "payments"}, None)
    with kit(tmp_path) as trail:
        trail.ledger.add([chain.seal(draft, chain.head)[0]])
        found = entries(trail)
    assert found["10.2.1.6"].examples == [f"{chain.id} 0"]
    assert "origination missing in 1 of 1 entry" in found["10.2.2"].evidence


def test_reported_violations_contradict_a_requirement(inputs: ReportInputs) -> None:
    report = build_report("compliance", SCOPE, inputs)
    for requirement, hit in (("3.4_Secure_Cardholder_Data", True), ("3", True), ("3.5", False), ("", False)):
        violation = ComplianceNumbers(
            regulation="PCI_DSS", requirement=requirement, status="failed", violation=True, count=2
        )
        found = {one.id: one for one in assess_requirements(replace(report, compliance=[violation]))}["3.4"]
        assert (found.status == "attention", found.counter_examples == 2) == (hit, hit)


def reviewed(kit: Kit, kind: str, day: datetime, at: datetime, **fields: Any) -> None:
    """Record that a report was created."""
    details = {"start": day, "end": day + timedelta(days=1), "of_one_person": False, **fields}
    user = details.pop("by", "auditor")
    keyed = Drafter(kit.policy.audit, kit.redactor).draft(
        AuditEvent(event_type="report_export", user_id=user, resource_type="report", resource_id=kind, details=details),
        Origin(COMMAND_SERVICE, "host-1", "test", 1),
    )  # fmt: skip
    chain = Chain(kit.keys, clock_ns=lambda: int(at.timestamp()) * 10**9)
    kit.ledger.add([chain.seal(keyed, chain.head)[0]])


def test_only_a_timely_daily_report_by_a_named_person_is_a_review(tmp_path: Path) -> None:
    """Creating the compliance report is not a review, however often it is created."""
    day = datetime(2026, 11, 10, tzinfo=UTC)
    morning, clock = day + timedelta(hours=30), int(day.timestamp() + 3600) * 10**9
    with kit(tmp_path, clock_ns=lambda: clock) as trail:
        trail.ledger.add([])
        trail.trail.record(access())
        trail.trail.flush(30)

        def review(now: datetime) -> tuple[str, list[DayReview]]:
            scope = ReportScope(Period(day, day + timedelta(days=1)))
            report = build_report("compliance", scope, ReportInputs(trail.database, trail.policy, now))
            assert report.audit is not None
            status = {one.id: one.status for one in report.requirements or []}["10.4.1"]
            return status, report.audit.reviews

        assert review(morning)[0] == "not_yet"
        later = day + timedelta(days=5)
        assert review(later)[0] == "attention"
        for kind, at, fields in (
            ("compliance", morning, {}),
            ("monthly", morning, {}),
            ("daily", morning, {"by": None}),
            ("daily", morning, {"service": "other"}),
            ("daily", morning, {"of_one_person": True}),
            ("daily", day + timedelta(hours=5), {}),  # the day had not ended
        ):
            reviewed(trail, kind, day, at, **fields)
            assert [one.status for one in review(later)[1]] == ["missing"], (kind, fields)
        reviewed(trail, "daily", day, later, by="late auditor")
        status, (late,) = review(later)
        assert (status, late.status, late.by) == ("attention", "late", "late auditor")
        reviewed(trail, "daily", day, morning)
        status, (found,) = review(later)
        assert (status, found.status, found.by, found.what) == (
            "evidence",
            "reviewed",
            "auditor",
            "daily report",
        )


def test_without_redactions_there_is_no_evidence(inputs: ReportInputs) -> None:
    report = build_report("compliance", SCOPE, inputs)
    without = replace(report, redactions=[])
    for shown, status in ((report, "evidence"), (without, "attention")):
        found = {one.id: one.status for one in assess_requirements(shown)}
        assert found["3.3"] == found["3.4"] == status
    others = replace(report, redactions=[NamedCount(name="sql", count=9)])
    assert {one.id: one.status for one in assess_requirements(others)}["3.4"] == "attention"


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
    old = int((NOW - timedelta(hours=2)).timestamp()) * 10**9
    loose = VerificationResult(entries=1, anchors=1, unanchored={"a": old, "b": int(NOW.timestamp()) * 10**9})
    found = assessed(replace(inputs, verify=lambda: loose))["10.3.4"]
    assert (found.status, found.examples) == ("attention", ["a"])


def test_large_counts_are_readable(inputs: ReportInputs) -> None:
    done = VerificationResult(entries=12_345, anchors=1)
    assert (
        "12,345 entries in 0 chains, 1 anchor compared"
        in assessed(replace(inputs, verify=lambda: done))["10.3.2"].evidence
    )


def test_retention_is_checked_against_the_regulations_that_apply(inputs: ReportInputs) -> None:
    assert "not yet" in assessed(inputs)["10.5.1"].evidence
    assert assessed(inputs)["10.5.1"].status == "not_yet"
    none = inputs.policy.retention.replace(regulations=())
    policy = inputs.policy.replace(retention=none)
    assert assessed(replace(inputs, policy=policy))["10.5.1"].status == "attention"


@pytest.mark.parametrize(
    ("text", "requirement", "other"),
    [("card 4111 1111 1111 1111 declined", "3.4", "3.3"), ("cvv 737 is wrong", "3.3", "3.4")],
)
def test_stored_card_data_contradicts_redaction(
    inputs: ReportInputs, tmp_path: Path, text: str, requirement: str, other: str
) -> None:
    redactions = build_report("compliance", SCOPE, inputs).redactions
    with kit(tmp_path) as trail:
        entries(trail, access())
        now = datetime.now(UTC)
        row = dict.fromkeys(("category", "severity", "name", "service", "environment"), "x")
        with trail.database.write() as connection:
            values = {"occurred_ns": int(now.timestamp()) * 10**9, "kind": "error", "details": "{}"}
            insert_rows(connection, table_of(ErrorRow), [{**row, **values, "message": text}])
        scope = ReportScope(last_days(1, now))
        report = build_report("compliance", scope, ReportInputs(trail.database, trail.policy, now))
    assessed = assess_requirements(replace(report, redactions=redactions))
    found = {one.id: one for one in assessed}
    assert (found[requirement].status, found[requirement].counter_examples) == ("attention", 1)
    assert found[requirement].examples == ["mita_errors 1"]
    assert found[other].status == "evidence"
    assert found[other].evidence.endswith("; 4 stored rows searched, none with such values")
