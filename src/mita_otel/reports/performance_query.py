"""Reads the latency windows of all workers from the store and merges them, in bounded memory."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from datetime import datetime, timedelta
from heapq import nlargest
from typing import Any, Final

from sqlalchemy import func, select
from sqlalchemy.engine import Connection

from mita_otel.latency.facts import KINDS
from mita_otel.latency.sketch import SketchSum, buckets_of
from mita_otel.latency.window import LatencyWindow, SlowSpan
from mita_otel.policy.storage import ReportPolicy
from mita_otel.reports.model import (
    BreachNumbers,
    CategoryLimits,
    CategoryNumbers,
    MeasurementCoverage,
    Numbers,
    OperationNumbers,
    PerformanceSection,
    SlowestSpan,
    Step,
)
from mita_otel.reports.scope import MeasuredMinutes, ReportScope, moment
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import BreachRow
from mita_otel.store.windows import windows_of

_BREACHES: Final = table_of(BreachRow)
_PERCENTILES: Final = (50, 90, 95, 99)
_SLOWEST_OF_ONE: Final = 3


class WindowTotals:
    """Merged latency windows."""

    __slots__ = ("breaches", "count", "errors", "latest", "max_ms", "min_ms", "sketches", "total_ms")

    def __init__(self, relative_error: float) -> None:
        self.count = self.errors = self.breaches = 0
        self.total_ms = 0.0
        self.min_ms, self.max_ms = float("inf"), 0.0
        self.sketches = SketchSum(relative_error)
        self.latest: LatencyWindow | None = None

    def add(self, window: LatencyWindow, zeros: int, buckets: list[tuple[int, int]]) -> None:
        """Add a window and the buckets of its sketch."""
        self.count += window.count
        self.errors += window.errors
        self.breaches += window.breaches
        self.total_ms += window.total_ms
        self.min_ms = min(self.min_ms, window.min_ms)
        self.max_ms = max(self.max_ms, window.max_ms)
        self.sketches.add(zeros, buckets)
        self.latest = window

    def numbers(self) -> Numbers:
        """Return counts and percentiles."""
        if not self.count:
            nothing = dict.fromkeys(["mean_ms", "min_ms", "max_ms", *(f"p{one}_ms" for one in _PERCENTILES)])
            return Numbers(count=0, errors=self.errors, breaches=self.breaches, **nothing)
        sketch = self.sketches.sketch()
        percentiles: dict[str, float | None] = {}
        for percentile in _PERCENTILES:
            value = sketch.percentile(percentile)
            # The middle of a bucket may be outside the observed range.
            percentiles[f"p{percentile}_ms"] = (
                None if value is None else round(min(max(value, self.min_ms), self.max_ms), 3)
            )
        return Numbers(
            count=self.count,
            errors=self.errors,
            breaches=self.breaches,
            mean_ms=round(self.total_ms / self.count, 3),
            min_ms=round(self.min_ms, 3),
            max_ms=round(self.max_ms, 3),
            **percentiles,
        )


class PerformanceReader:
    """Reads the latency of a scope.

    Args:
        connection: Connection to the store.
        scope: Period, service and environment.
        policy: Sizes of the tables.
        relative_error: Relative error of percentiles.
        now: The current time.
        on_progress: Called now and then with the number of windows read.
    """

    def __init__(
        self,
        connection: Connection,
        scope: ReportScope,
        policy: ReportPolicy,
        relative_error: float,
        *,
        now: datetime,
        on_progress: Callable[[int], None] | None = None,
    ) -> None:
        self._connection = connection
        self._scope = scope
        self._policy = policy
        self._relative_error = relative_error
        self._on_progress = on_progress
        period = scope.period
        self._minutes = MeasuredMinutes(period.start, min(period.end, now))
        self._total = self._sum()
        self._categories: dict[str, WindowTotals] = defaultdict(self._sum)
        self._operations: dict[tuple[str, str], WindowTotals] = defaultdict(self._sum)
        self._steps: dict[tuple[int, str], WindowTotals] = defaultdict(self._sum)
        self._slowest: dict[tuple[str, str], list[SlowestSpan]] = defaultdict(list)
        self._limits: dict[str, set[float]] = defaultdict(set)
        self._read()

    def coverage(self, note: str) -> MeasurementCoverage:
        """Return the measurement coverage."""
        return self._minutes.coverage(
            relative_error=self._relative_error,
            gap=timedelta(minutes=self._policy.gap_minutes),
            max_gaps=self._policy.max_gaps,
            note=note,
        )

    def categories(self) -> list[CategoryNumbers]:
        """Return numbers by category."""
        order = {kind: number for number, kind in enumerate(KINDS)}
        kinds = sorted(self._categories, key=lambda kind: (order.get(kind, len(order)), kind))  # type: ignore[call-overload]
        return [CategoryNumbers(category=kind, **vars(self._categories[kind].numbers())) for kind in kinds]

    def performance(self) -> PerformanceSection:
        """Return the performance section."""
        by_time = sorted(self._operations.items(), key=lambda pair: (-pair[1].total_ms, pair[0]))
        shown = by_time[: self._policy.max_operations]
        return PerformanceSection(
            total=self._total.numbers(),
            categories=self.categories(),
            operations=[_operation(kind, name, total) for (kind, name), total in shown],
            operations_omitted=len(by_time) - len(shown),
            limits=[
                CategoryLimits(category=kind, limits_ms=sorted(limits))
                for kind, limits in sorted(self._limits.items())
            ],
            steps=[self._step(key) for key in sorted(self._steps)],
            slowest=self._slowest_first(),
            breaches=self._breaches(),
        )

    def _sum(self) -> WindowTotals:
        return WindowTotals(self._relative_error)

    def _read(self) -> None:
        period, scope = self._scope.period, self._scope
        windows = windows_of(
            self._connection,
            period.start.timestamp(),
            period.end.timestamp(),
            service=scope.service,
            environment=scope.environment,
        )
        for number, window in enumerate(windows, 1):
            self._add(window)
            if self._on_progress is not None and number % 5000 == 0:
                self._on_progress(number)

    def _add(self, window: LatencyWindow) -> None:
        try:
            zeros, buckets = buckets_of(window.sketch, self._relative_error)
        except ValueError:
            zeros, buckets = 0, []  # an unreadable sketch is counted without percentiles
        self._minutes.add(window.start_s, window.length_s)
        sums = [
            self._total,
            self._categories[window.kind],
            self._operations[window.kind, window.operation],
        ]
        step = self._scope.period.step_of(window.start_s)
        if step is not None:
            sums.append(self._steps[step, window.kind])
        for total in sums:
            total.add(window, zeros, buckets)
        if window.limit_ms is not None:
            self._limits[window.kind].add(window.limit_ms)
        if window.slowest:
            slowest = self._slowest[window.kind, window.operation]
            slowest += [_slow(window, span) for span in window.slowest]
            slowest.sort(key=lambda one: (-one.duration_ms, one.at))
            del slowest[_SLOWEST_OF_ONE:]

    def _slowest_first(self) -> list[SlowestSpan]:
        """Return the slowest spans, a few for each operation, so that a slow operation does not hide the others."""
        every = (span for spans in self._slowest.values() for span in spans)
        return nlargest(self._policy.max_events, every, key=lambda one: one.duration_ms)

    def _step(self, key: tuple[int, str]) -> Step:
        numbers = self._steps[key].numbers()
        return Step(
            start=self._scope.step_start(key[0]),
            category=key[1],
            **{
                name: getattr(numbers, name)
                for name in ("count", "errors", "breaches", "p50_ms", "p95_ms", "p99_ms")
            },
        )

    def _breaches(self) -> list[BreachNumbers]:
        in_scope = self._scope.rows(_BREACHES, _BREACHES.c.occurred_ns)
        grouped = select(
            _BREACHES.c.rule,
            _BREACHES.c.kind,
            func.count().label("times"),
            func.max(_BREACHES.c.duration_ms).label("worst_ms"),
        )
        rows = self._connection.execute(
            grouped.where(in_scope)
            .group_by(_BREACHES.c.rule, _BREACHES.c.kind)
            .order_by(func.count().desc(), _BREACHES.c.rule)
        ).all()
        return [self._breach(row, in_scope) for row in rows]

    def _breach(self, row: Any, in_scope: Any) -> BreachNumbers:
        of_rule = (in_scope, _BREACHES.c.rule == row.rule, _BREACHES.c.kind == row.kind)
        one = select(_BREACHES).where(*of_rule).limit(1)
        worst = self._connection.execute(one.order_by(_BREACHES.c.duration_ms.desc(), _BREACHES.c.id)).one()
        last = self._connection.execute(one.order_by(_BREACHES.c.occurred_ns.desc(), _BREACHES.c.id)).one()
        return BreachNumbers(
            rule=row.rule,
            kind=row.kind,
            limit_ms=last.limit_ms,
            count=row.times,
            worst_ms=round(row.worst_ms, 3),
            worst_name=worst.name,
            worst_trace_id=worst.trace_id,
        )


def _operation(kind: str, name: str, total: WindowTotals) -> OperationNumbers:
    latest = total.latest
    return OperationNumbers(
        category=kind,
        operation=name,
        rule=latest.rule if latest else None,
        limit_ms=latest.limit_ms if latest else None,
        **vars(total.numbers()),
    )


def _slow(window: LatencyWindow, span: SlowSpan) -> SlowestSpan:
    return SlowestSpan(
        category=window.kind,
        operation=window.operation,
        duration_ms=round(span.duration_ms, 3),
        trace_id=span.trace_id,
        at=moment(span.at_s * 1e9),
    )
