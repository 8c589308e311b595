"""The tables of a report about requirements, compliance events, redactions, policies and retention."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from mita_otel.reports.model import Report
from mita_otel.reports.table import Column, Table


def compliance(report: Report) -> Iterator[Table]:
    """Yield the tables of compliance events, redactions and policies."""
    if report.compliance is not None:
        yield Table(
            "compliance",
            "compliance",
            "Compliance events",
            (
                Column("regulation", label=True),
                Column("requirement", label=True),
                Column("status", label=True),
                Column("count", "count"),
            ),
            tuple((one.regulation, one.requirement, one.status, one.count) for one in report.compliance),
        )
    if report.redactions is not None:
        yield Table(
            "redactions",
            "redactions",
            "Redacted values, by rule",
            (Column("rule", "code", label=True), Column("values", "count")),
            tuple((one.name, one.count) for one in report.redactions),
            "in stored telemetry",
        )
    if report.card_data is not None:
        facts = [
            ("rows searched", report.card_data.searched),
            ("rows with card data", report.card_data.rows),
            *((f"values, {one.name}", one.count) for one in report.card_data.by_rule),
        ]
        yield Table(
            "redactions",
            "card_data",
            "Card data in the store",
            (Column("fact", label=True), Column("value", "count")),
            tuple(facts),
            "the newest errors, spans and audit entries of the period, searched with the default redaction rules",
        )
    if report.policies is not None:
        yield Table(
            "policies",
            "policies",
            "Effective policies",
            (Column("sha-256", "code", label=True), Column("first", "time"), Column("last", "time"), Column("starts", "count")),
            tuple((one.sha256, one.first, one.last, one.starts) for one in report.policies),
        )  # fmt: skip


def retention(report: Report) -> Iterator[Table]:
    """Yield the tables about retention."""
    found = report.retention
    if found is None:
        return
    yield Table(
        "retention",
        "kept",
        "Retained data",
        (
            Column("data", label=True), Column("table", "code", label=True), Column("rows", "count"),
            Column("oldest", "time"), Column("newest", "time"), Column("retention days", "count"), Column("overdue", "count"),
        ),
        tuple((one.data, one.table, one.rows, one.oldest, one.newest, one.days, one.overdue) for one in found.kept),
    )  # fmt: skip
    yield Table(
        "retention",
        "checks",
        "Requirements of regulations",
        (Column("regulation", label=True), Column("data", label=True), Column("requirement"), Column("status", "status"), Column("evidence")),
        tuple((one.regulation, one.data, one.required, one.status, one.evidence) for one in found.checks),
    )  # fmt: skip
    yield Table(
        "retention",
        "holds",
        "Legal holds",
        (Column("hold", "code", label=True), Column("placed", "time"), Column("by"), Column("reason"), Column("data"), Column("person")),
        tuple((one.id, one.placed, one.by, one.reason, one.data, "one" if one.of_one_person else "all") for one in found.holds),
    )  # fmt: skip


def requirements(report: Report) -> Iterator[Table]:
    """Yield the table of requirements, and what its words mean."""
    if report.requirements is None:
        return
    yield Table(
        "requirements",
        "requirements",
        "PCI DSS 4.0.1: evidence in this report, and requirements it does not cover",
        (
            Column("requirement", label=True),
            Column("title"),
            Column("status", "status"),
            Column("evidence"),
            Column("counter-examples", "count"),
            Column("limitation"),
        ),
        tuple(
            (one.id, one.title, one.status, one.evidence, one.counter_examples, one.limitation or None)
            for one in report.requirements
        ),
        "A report does not make anyone compliant: an assessor judges its evidence",
    )
    yield Table(
        "requirements",
        "legend",
        "Legend",
        (Column("status", "status", label=True), Column("meaning")),
        _LEGEND,
        "An entry of the audit trail is named by its chain and its position, as in `mita-otel audit search` and "
        "`mita-otel audit verify`",
    )


_LEGEND: Final = (
    ("evidence", "The period has evidence, and all of it was checked: nothing contradicts the requirement."),
    ("attention", "Something contradicts the requirement, or the period has no evidence for it."),
    ("not_yet", "Nothing contradicts the requirement, but its time has not passed."),
    ("not_covered", "Telemetry has no evidence for the requirement. The evidence column names who has."),
)


def reviews(report: Report) -> Iterator[Table]:
    """Yield the table of days and who reviewed them."""
    if report.audit is None or report.kind == "daily":
        return
    yield Table(
        "audit",
        "reviews",
        "Daily reviews",
        (
            Column("day", label=True),
            Column("events", "count"),
            Column("review", "status"),
            Column("reviewed at", "time"),
            Column("reviewed by"),
            Column("by means of"),
            Column("entry", "code"),
        ),
        tuple(
            (one.day, one.events, one.status, one.at, one.by, one.what, one.entry)
            for one in report.audit.reviews
        ),
        "A review is a daily report, or an export of all entries, that a named person created within 24 hours after "
        "the day",
    )
