"""The tables of a report. CSV, Markdown and HTML are written from them, so all formats show the same numbers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mita_otel.reports.compliance_tables import compliance, requirements, retention, reviews
from mita_otel.reports.model import CategoryNumbers, Numbers, Report
from mita_otel.reports.table import NOTHING, Column, Table, Value

_SPANS: Final = (
    Column("spans", "count"), Column("failed", "count"), Column("exceeded limit", "count"), Column("mean ms", "ms"),
    Column("p50 ms", "ms"), Column("p90 ms", "ms"), Column("p95 ms", "ms"), Column("p99 ms", "ms"),
    Column("max ms", "ms"),
)  # fmt: skip


def tables(report: Report) -> list[Table]:
    """Return the tables of a report in reading order. A table without data has no rows."""
    builders = (
        (_security, *(build for build in _TABLES if build is not _security))
        if report.kind == "daily"
        else _TABLES
    )
    return [table for build in builders for table in build(report)]


def _head(report: Report) -> Iterator[Table]:
    facts: list[tuple[str, Value]] = [
        ("organisation", report.organisation),
        ("scope", report.scope),
        ("from", report.start),
        ("until", report.end),
        ("service", report.service or "all"),
        ("environment", report.environment or "all"),
        ("person", report.user or "all"),
        ("source", report.source),
        ("created", report.generated_at),
        ("created by", report.requested_by),
        ("created with", report.generated_by),
        ("reviewed by", report.reviewed_by),
        ("policy (SHA-256)", report.policy_sha256),
    ]
    seal = report.seal
    if seal is not None:
        facts += [
            ("digest of this report (SHA-256)", seal.sha256),
            ("signature (HMAC-SHA256)", seal.signature or "not signed"),
            ("key", seal.key_id),
        ]
    coverage = report.coverage
    if coverage is not None:
        facts += [
            ("minutes of the period", coverage.minutes),
            ("minutes measured", coverage.minutes_measured),
            ("relative error of percentiles", f"{100 * coverage.relative_error:g} %"),
        ]
    columns = (Column("fact", label=True), Column("value"))
    yield Table("report", "facts", "About this report", columns, tuple(facts))
    if coverage is not None and coverage.gaps:
        omitted = len(coverage.gaps) - coverage.gaps_listed
        yield Table(
            "coverage",
            "gaps",
            "Longest gaps without a span",
            (Column("from", "time", label=True), Column("until", "time")),
            tuple((one.start, one.end) for one in coverage.gaps[: coverage.gaps_listed]),
            f"{omitted:,} shorter gaps" if omitted > 0 else "",
        )


def _trends(report: Report) -> Iterator[Table]:
    if report.trends is not None:
        columns = (Column("number", label=True), Column("now"), Column("previous"), Column("change"))
        rows = [
            (
                one.name,
                _of_unit(one.now, one.unit),
                _of_unit(one.before, one.unit),
                _change(one.now, one.before),
            )
            for one in report.trends
        ]
        yield Table("trends", "trends", "Compared with the previous period", columns, tuple(rows))


def _of_unit(value: float | None, unit: str) -> str:
    if value is None:
        return NOTHING
    return {"ms": f"{value:,.1f} ms", "%": f"{value:,.2f} %"}.get(unit, f"{value:,.0f}")


def _change(now: float | None, before: float | None) -> str:
    if now is None or not before:
        return NOTHING
    return f"{100 * (now - before) / before:+.1f} %"


def _performance(report: Report) -> Iterator[Table]:
    found = report.performance
    if found is None:
        return
    named = (Column("category", label=True), *_SPANS)
    everything = CategoryNumbers(category="all", **vars(found.total))
    yield Table(
        "performance",
        "categories",
        "By category",
        named,
        tuple((one.category, *_numbers(one)) for one in [*found.categories, everything]),
    )
    yield Table(
        "performance",
        "operations",
        "By operation",
        (
            Column("category", label=True),
            Column("operation", "code", label=True),
            Column("limit ms", "ms"),
            *_SPANS,
        ),
        tuple((one.category, one.operation, one.limit_ms, *_numbers(one)) for one in found.operations),
        f"{found.operations_omitted:,} more operations" if found.operations_omitted else "",
    )
    yield Table(
        "performance",
        "breaches",
        "Breaches by rule",
        (
            Column("rule", "code", label=True),
            Column("limit ms", "ms"),
            Column("breaches", "count"),
            Column("worst ms", "ms"),
            Column("worst span", "code"),
            Column("trace", "code"),
        ),
        tuple(
            (one.rule, one.limit_ms, one.count, one.worst_ms, one.worst_name, one.worst_trace_id)
            for one in found.breaches
        ),
        "from kept traces; every trace with a breach is kept",
    )
    yield Table(
        "performance",
        "slowest",
        "Slowest spans",
        (
            Column("at", "time", label=True),
            Column("operation", "code", label=True),
            Column("ms", "ms"),
            Column("trace", "code"),
        ),
        tuple((one.at, one.operation, one.duration_ms, one.trace_id) for one in found.slowest),
    )


def _numbers(one: Numbers) -> tuple[Value, ...]:
    return (one.count, one.errors, one.breaches, one.mean_ms, one.p50_ms, one.p90_ms, one.p95_ms, one.p99_ms, one.max_ms)  # fmt: skip


def _errors(report: Report) -> Iterator[Table]:
    found = report.errors
    if found is None:
        return
    yield Table(
        "errors",
        "errors_by_category",
        "Errors by category and severity",
        (Column("category", label=True), Column("severity", label=True), Column("errors", "count")),
        tuple((one.category, one.severity, one.count) for one in found.by_category),
        f"{found.total:,} in total",
    )
    yield Table(
        "errors",
        "error_groups",
        "Most frequent errors",
        (
            Column("category", label=True),
            Column("severity", label=True),
            Column("error", "code", label=True),
            Column("count", "count"),
            Column("last message"),
            Column("last", "time"),
            Column("trace", "code"),
        ),
        tuple(
            (one.category, one.severity, one.name, one.count, one.message, one.last, one.last_trace_id)
            for one in found.groups
        ),
        f"{found.groups_omitted:,} more kinds" if found.groups_omitted else "",
    )


def _security(report: Report) -> Iterator[Table]:
    found = report.security
    if found is None:
        return
    counted = (Column("event", label=True), Column("count", "count"))
    rows: list[tuple[Value, ...]] = [(one.name, one.count) for one in found.by_name]
    rows += [
        ("denied operations in the audit trail", found.denied),
        ("failed logins in the audit trail", found.failed_logins),
        ("failed logins that services reported", found.failed_logins_reported),
    ]
    yield Table("security", "security_events", "Security events", counted, tuple(rows))
    yield Table(
        "security",
        "latest_security_events",
        "Latest security events",
        (
            Column("at", "time", label=True),
            Column("event", label=True),
            Column("severity"),
            Column("message"),
            Column("trace", "code"),
        ),
        tuple((one.at, one.name, one.severity, one.message, one.trace_id) for one in found.latest),
    )


def _audit(report: Report) -> Iterator[Table]:
    found = report.audit
    if found is None:
        return
    yield Table(
        "audit",
        "audit_types",
        "Audit entries by type",
        (Column("type", "code", label=True), Column("entries", "count")),
        tuple((one.name, one.count) for one in found.by_type),
        f"{found.entries:,} in total",
    )
    yield Table(
        "audit",
        "audit_outcomes",
        "Audit entries by outcome",
        (Column("outcome", label=True), Column("entries", "count")),
        tuple((one.name, one.count) for one in found.by_outcome),
    )
    done = found.verification
    facts: list[tuple[str, Value]] = [("result", "not verified for this report")]
    if done is not None:
        facts = [
            ("result", "no fault found" if done.ok else "FAULTS FOUND"),
            ("verified at", done.verified_at),
            ("entries", done.entries),
            ("chains", done.chains),
            ("anchors compared", done.anchors),
            ("anchors with a timestamp", done.timestamps),
            ("purged entries, with tombstone", done.purged),
            ("entries of erased persons", done.erased),
            ("unsigned chains", done.unkeyed_chains),
            ("chains without an anchor", done.unanchored_chains),
            ("entries with a clock that stepped back", done.clock_steps),
            ("timestamps with a valid signature", done.signatures),
            *(("not verified", one) for one in done.unverified),
            *((f"fault: {one.name}", one.count) for one in done.faults),
        ]
    yield Table("audit", "verification", "Integrity of the whole audit trail", (Column("fact", label=True), Column("value")), tuple(facts))  # fmt: skip
    if done is not None and done.findings:
        yield Table(
            "audit",
            "findings",
            "Findings of the verification",
            (Column("fault", label=True), Column("chain", "code", label=True), Column("entry", "code", label=True), Column("description")),
            tuple((one.fault, one.chain, one.sequence, one.message) for one in done.findings),
        )  # fmt: skip


_TABLES: Final[Sequence[Callable[[Report], Iterator[Table]]]] = (
    _head, requirements, _trends, _performance, _errors, _security, _audit, reviews, compliance, retention,
)  # fmt: skip
