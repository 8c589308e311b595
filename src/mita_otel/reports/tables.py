"""A report as tables: what CSV, Markdown and HTML write, so that the numbers are the same in each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from mita_otel.reports.model import CategoryNumbers, Numbers, Report
from mita_otel.reports.table import NOTHING, Column, Table, Value
from mita_otel.reports.tables_of_keeping import compliance, requirements, retention

_SPANS: Final = (
    Column("spans", "count"), Column("failed", "count"), Column("above limit", "count"), Column("mean ms", "ms"),
    Column("p50 ms", "ms"), Column("p90 ms", "ms"), Column("p95 ms", "ms"), Column("p99 ms", "ms"),
    Column("max ms", "ms"),
)  # fmt: skip


def tables(report: Report) -> list[Table]:
    """Return the tables of a report, in the order in which they are read. Empty ones are there, without rows."""
    makers = (
        (_security, *(make for make in _MAKERS if make is not _security))
        if report.kind == "daily"
        else _MAKERS
    )
    return [table for make in makers for table in make(report)]


def _head(report: Report) -> Iterator[Table]:
    facts: list[tuple[str, Value]] = [
        ("from", report.start),
        ("until", report.end),
        ("service", report.service or "all"),
        ("environment", report.environment or "all"),
        ("person", report.user or "everybody"),
        ("source", report.source),
        ("made", report.generated_at),
        ("made by", report.generated_by),
        ("policy", report.policy_sha256),
    ]
    coverage = report.coverage
    if coverage is not None:
        facts += [
            ("minutes of the period", coverage.minutes),
            ("minutes measured", coverage.minutes_measured),
            ("percentiles are within", f"{100 * coverage.relative_error:g} %"),
        ]
    columns = (Column("fact", label=True), Column("value"))
    yield Table("report", "facts", "About this report", columns, tuple(facts))
    if coverage is not None and coverage.gaps:
        yield Table(
            "coverage",
            "gaps",
            "Longest stretches without a span",
            (Column("from", "time", label=True), Column("until", "time")),
            tuple((one.start, one.end) for one in coverage.gaps),
        )


def _trends(report: Report) -> Iterator[Table]:
    if report.trends is not None:
        columns = (Column("number", label=True), Column("now"), Column("before"), Column("change"))
        rows = [
            (
                one.name,
                _of_unit(one.now, one.unit),
                _of_unit(one.before, one.unit),
                _change(one.now, one.before),
            )
            for one in report.trends
        ]
        yield Table("trends", "trends", "Beside the period before", columns, tuple(rows))


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
        f"{found.operations_left_out:,} more operations" if found.operations_left_out else "",
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
            Column("its trace", "code"),
        ),
        tuple(
            (one.rule, one.limit_ms, one.count, one.worst_ms, one.worst_name, one.worst_trace_id)
            for one in found.breaches
        ),
        "of traces that were kept: every trace with a breach is",
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
        f"{found.total:,} in all",
    )
    yield Table(
        "errors",
        "error_groups",
        "Most frequent errors",
        (
            Column("category", label=True),
            Column("severity", label=True),
            Column("error", "code", label=True),
            Column("times", "count"),
            Column("last message"),
            Column("last", "time"),
            Column("its trace", "code"),
        ),
        tuple(
            (one.category, one.severity, one.name, one.count, one.message, one.last, one.last_trace_id)
            for one in found.groups
        ),
        f"{found.groups_left_out:,} more kinds" if found.groups_left_out else "",
    )


def _security(report: Report) -> Iterator[Table]:
    found = report.security
    if found is None:
        return
    counted = (Column("event", label=True), Column("times", "count"))
    rows: list[tuple[Value, ...]] = [(one.name, one.count) for one in found.by_name]
    rows += [
        ("refused, by the audit trail", found.refused),
        ("failed logins, by the audit trail", found.failed_logins),
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
        f"{found.entries:,} in all",
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
            ("entries purged behind tombstones", done.purged),
            ("entries of erased persons", done.erased),
            ("chains without a key", done.unkeyed_chains),
            ("entries whose clock had stepped back", done.clock_steps),
            *((f"fault: {one.name}", one.count) for one in done.faults),
        ]
    yield Table("audit", "verification", "Integrity of the whole audit trail", (Column("fact", label=True), Column("value")), tuple(facts))  # fmt: skip
    if done is not None and done.findings:
        yield Table(
            "audit",
            "findings",
            "What verification found",
            (Column("fault", label=True), Column("chain", "code", label=True), Column("entry", "code", label=True), Column("what")),
            tuple((one.fault, one.chain, one.sequence, one.message) for one in done.findings),
        )  # fmt: skip


_MAKERS: Final[Sequence[Callable[[Report], Iterator[Table]]]] = (
    _head, requirements, _trends, _performance, _errors, _security, _audit, compliance, retention,
)  # fmt: skip
