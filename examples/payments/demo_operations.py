"""Summarises spans as a table of operations: count, failures, percentiles, limit, breaches."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import ceil

from rich import box
from rich.table import Table
from rich.text import Text

from mita_otel.exporters.span_record import SpanRecord
from mita_otel.exporters.styled_text import printable
from mita_otel.exporters.waterfall import milliseconds
from mita_otel.latency.facts import KINDS, SpanFacts
from mita_otel.latency.limits import LimitBook
from mita_otel.latency.operations import operation_of
from mita_otel.policy.limits import Kind


@dataclass(frozen=True, slots=True)
class OperationSummary:
    """All spans of one operation."""

    operation: str
    """For example `GET /api/accounts/{account_id}/balance`, or `SELECT accounts`."""
    kind: Kind
    count: int
    p50_ms: float
    p95_ms: float
    limit_ms: float | None
    """Limit in milliseconds; None if there is none."""
    breaches: int
    failures: int


def summarise_operations(spans: Iterable[SpanRecord], book: LimitBook) -> list[OperationSummary]:
    """Return a summary of each operation that has a limit rule, requests first, then by name.

    Args:
        spans: Finished spans.
        book: The limits.
    """
    groups: dict[tuple[Kind, str, float | None], list[SpanRecord]] = defaultdict(list)
    for span in spans:
        facts = SpanFacts(span.name, span.kind, span.duration_ms, span.attributes)
        rule, operation = book.rule_for(facts), operation_of(facts)
        if rule is not None and operation is not None:
            groups[operation.kind, operation.name, rule.limit_ms].append(span)
    summaries = [
        OperationSummary(
            operation=operation,
            kind=kind,
            count=len(group),
            p50_ms=percentile([span.duration_ms for span in group], 50),
            p95_ms=percentile([span.duration_ms for span in group], 95),
            limit_ms=limit_ms,
            breaches=sum(span.exceeded for span in group),
            failures=sum(span.failed for span in group),
        )
        for (kind, operation, limit_ms), group in groups.items()
    ]
    return sorted(summaries, key=lambda one: (KINDS.index(one.kind), _by_path(one.operation)))


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that `percent` per cent of the values do not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)]


def operations_table(summaries: Iterable[OperationSummary]) -> Table:
    """Return the table of operations."""
    table = Table(
        box=box.SIMPLE_HEAD,
        expand=True,
        padding=(0, 0, 0, 1),
        pad_edge=False,
        header_style="bold",
        show_edge=False,
    )
    table.add_column("operation", no_wrap=True, overflow="ellipsis", ratio=1)
    for column in ("count", "failed", "p50", "p95", "limit", "breaches"):
        table.add_column(column, justify="right", no_wrap=True)
    kind: Kind | None = None
    for one in summaries:
        if kind is not None and one.kind != kind:
            table.add_section()
        kind = one.kind
        over = one.limit_ms is not None and one.p95_ms > one.limit_ms
        table.add_row(
            Text(printable(one.operation)),
            f"{one.count:,}",
            Text(f"{one.failures:,}", "red") if one.failures else Text("-", "dim"),
            milliseconds(one.p50_ms),
            Text(milliseconds(one.p95_ms), "red" if over else ""),
            "off" if one.limit_ms is None else f"{one.limit_ms:,g} ms",
            Text(f"{one.breaches:,}", "bold red") if one.breaches else Text("-", "dim"),
        )
    return table


def _by_path(operation: str) -> tuple[str, str]:
    method, _, path = operation.partition(" ")
    return path, method
