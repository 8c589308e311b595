"""The plots of a report. All plotted numbers are also in a table or in the JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from markupsafe import Markup

from mita_otel.latency.facts import KINDS
from mita_otel.reports.model import PerformanceSection, Report, Step
from mita_otel.reports.scope import Period
from mita_otel.reports.sections import CountOverTime
from mita_otel.reports.svg import Band, Line, Stack, bar, columns, lines, scale

_SEVERITIES: Final = ("security_critical", "critical", "high", "medium", "low")
_MAX_BARS: Final = 20
_MAX_NAMES: Final = 6
_X_LABELS: Final = 5
_GAP: Final = ("gap", "not measured")


@dataclass(frozen=True, slots=True)
class Plot:
    """A plot over time."""

    section: str
    title: str
    drawing: Markup
    unit: str
    y: Sequence[str]
    """Labels of the y axis, top to bottom."""
    x: Sequence[tuple[float, str]]
    """Labels of the x axis, with their distance from the left in percent."""
    legend: Sequence[tuple[str, str]]
    """CSS class and name of each series."""


@dataclass(frozen=True, slots=True)
class Bar:
    """A row of a bar chart."""

    name: str
    drawing: Markup
    value: str


@dataclass(frozen=True, slots=True)
class Bars:
    """A bar chart."""

    section: str
    title: str
    bars: Sequence[Bar]
    legend: Sequence[tuple[str, str]] = field(default=())


def plots(report: Report) -> Iterator[Plot | Bars]:
    """Yield the plots of a report."""
    time = _Time(report)
    if report.performance is not None:
        yield from _latencies(report.performance, time)
        yield from _bars(
            "performance",
            "Breaches by rule",
            [(one.rule, one.count, "p95") for one in report.performance.breaches],
        )
    if report.errors is not None:
        yield from _by_category(report)
        yield from time.columns(
            "errors", "Errors over time, by severity", report.errors.steps, _severity_classes()
        )
    if report.security is not None:
        names = [one.name for one in report.security.by_name]
        yield from time.columns(
            "security", "Security events over time", report.security.steps, _named_classes(names)
        )
    if report.audit is not None:
        yield from time.columns(
            "audit", "Audit entries over time", report.audit.steps, {"entries": "series-0"}
        )
    if report.redactions is not None:
        yield from _bars(
            "redactions",
            "Redacted values, by rule",
            [(one.name, one.count, "series-0") for one in report.redactions],
        )
    if report.retention is not None:
        yield from _ages(report)


class _Time:
    """Steps of the period, their labels, and the time without measurements."""

    def __init__(self, report: Report) -> None:
        period = Period(report.start, report.end)
        self.starts = list(period.steps())
        self.bands = list(_bands(report, period, len(self.starts) * period.step))
        self._index = {start: number for number, start in enumerate(self.starts)}
        self._step = period.step

    def index(self, start: datetime) -> int | None:
        return self._index.get(start)

    def label(self, start: datetime) -> str:
        return start.strftime("%d %b %H:%M" if self._step < timedelta(days=1) else "%d %b")

    def labels(self) -> list[tuple[float, str]]:
        count = len(self.starts)
        every = max(1, -(-count // _X_LABELS))
        return [(round(100 * at / count, 2), self.label(self.starts[at])) for at in range(0, count, every)]

    def columns(
        self, section: str, title: str, steps: Iterable[CountOverTime], classes: dict[str, str]
    ) -> Iterator[Plot]:
        """Yield a plot of counts, unless all are 0."""
        values: dict[str, list[float]] = {name: [0.0] * len(self.starts) for name in classes}
        other = next(reversed(classes), "other")
        for one in steps:
            index = self.index(one.start)
            if index is not None:
                values[one.name if one.name in values else other][index] += one.count
        shown = {name: counts for name, counts in values.items() if any(counts)}
        if not shown:
            return
        axis = scale(max(map(sum, zip(*shown.values(), strict=True))), whole=True)
        stacks = [
            Stack(
                classes[name],
                counts,
                [
                    f"{self.label(at)}: {count:,.0f} {_words(name)}"
                    for at, count in zip(self.starts, counts, strict=True)
                ],
            )
            for name, counts in shown.items()
        ]
        yield Plot(
            section,
            title,
            columns(stacks, axis, self.bands),
            "",
            _axis(axis),
            self.labels(),
            [*((classes[name], _words(name)) for name in shown), *self.legend()]
            if len(classes) > 1 or self.bands
            else [],
        )

    def legend(self) -> list[tuple[str, str]]:
        """Return the legend's entry for time without measurements, if there is any."""
        return [_GAP] if self.bands else []


def _bands(report: Report, period: Period, width: timedelta) -> Iterator[Band]:
    """Yield the time without measurements: gaps, and what is still to come when the report is created."""
    for gap in report.coverage.gaps if report.coverage else []:
        yield Band(
            (gap.start - period.start) / width,
            (gap.end - period.start) / width,
            f"not measured: {gap.start:%d %b %H:%M} to {gap.end:%d %b %H:%M}",
        )
    if report.generated_at < period.end:
        start = max(report.generated_at, period.start)
        yield Band((start - period.start) / width, (period.end - period.start) / width, "not measured yet")


def _latencies(performance: PerformanceSection, time: _Time) -> Iterator[Plot]:
    by_category: dict[str, list[Step]] = {}
    for step in performance.steps:
        by_category.setdefault(step.category, []).append(step)
    known = {kind: number for number, kind in enumerate(KINDS)}
    limits = {one.category: one.limits_ms for one in performance.limits}
    for category in sorted(by_category, key=lambda name: (known.get(name, len(known)), name)):  # type: ignore[call-overload]
        yield _latency(category, by_category[category], limits.get(category, []), time)


def _latency(category: str, steps: Sequence[Step], limits: Sequence[float], time: _Time) -> Plot:
    found: list[Line] = []
    for name in ("p50", "p95", "p99"):
        values: list[float | None] = [None] * len(time.starts)
        for step in steps:
            index = time.index(step.start)
            if index is not None:
                values[index] = getattr(step, f"{name}_ms")
        titles = [
            "" if value is None else f"{time.label(at)}: {name} {value:,.1f} ms"
            for at, value in zip(time.starts, values, strict=True)
        ]
        found.append(Line(name, values, titles))
    largest = max(
        [*limits, *(value for line in found for value in line.values if value is not None)], default=1.0
    )
    axis = scale(largest)
    limit_names = ", ".join(f"{limit:g}" for limit in limits)
    legend = [("p50", "p50"), ("p95", "p95"), ("p99", "p99")]
    return Plot(
        "performance",
        f"{_words(category)}: latency over time",
        lines(found, limits, axis, time.bands),
        "ms",
        _axis(axis),
        time.labels(),
        [*legend, *([("limit", f"limit {limit_names} ms")] if limits else []), *time.legend()],
    )


def _bars(section: str, title: str, rows: Sequence[tuple[str, int, str]]) -> Iterator[Bars]:
    if rows:
        largest = max(count for _, count, _ in rows)
        yield Bars(
            section,
            title,
            [
                Bar(name, bar([(css, count / largest, f"{name}: {count:,}")]), f"{count:,}")
                for name, count, css in rows[:_MAX_BARS]
            ],
        )


def _by_category(report: Report) -> Iterator[Bars]:
    counts: dict[str, dict[str, int]] = {}
    for one in report.errors.by_category if report.errors else []:
        counts.setdefault(one.category, {})[one.severity] = one.count
    if not counts:
        return
    classes = _severity_classes()
    largest = max(sum(one.values()) for one in counts.values())
    present = {severity for one in counts.values() for severity in one}
    rows = sorted(counts.items(), key=lambda pair: -sum(pair[1].values()))[:_MAX_BARS]
    yield Bars(
        "errors",
        "Errors by category and severity",
        [
            Bar(
                _words(category),
                bar([
                    (classes.get(severity, "low"), found[severity] / largest, f"{_words(severity)}: {found[severity]:,}")
                    for severity in sorted(found, key=_order)
                ]),
                f"{sum(found.values()):,}",
            )
            for category, found in rows
        ],
        [(classes.get(severity, "low"), _words(severity)) for severity in sorted(present, key=_order)],
    )  # fmt: skip


def _ages(report: Report) -> Iterator[Bars]:
    found = report.retention
    if found is None:
        return
    rows = []
    for one in found.kept:
        age = 0 if one.oldest is None else (report.generated_at - one.oldest).days
        text = f"{age:,} of {one.days:,} days"
        rows.append(
            Bar(
                one.table,
                bar([("high" if one.overdue else "series-0", min(1.0, age / one.days), text)]),
                text,
            )
        )
    yield Bars("retention", "Age of the oldest row, relative to the retention period", rows)


def _severity_classes() -> dict[str, str]:
    return {name: name.replace("_", "-") for name in _SEVERITIES}


def _named_classes(names: Sequence[str]) -> dict[str, str]:
    classes = {name: f"series-{index}" for index, name in enumerate(names[:_MAX_NAMES])}
    return {**classes, "other": f"series-{_MAX_NAMES}"}


def _order(severity: str) -> int:
    return _SEVERITIES.index(severity) if severity in _SEVERITIES else len(_SEVERITIES)


def _axis(values: Sequence[float]) -> list[str]:
    return [f"{value:,.10g}" for value in reversed(values)]


def _words(name: str) -> str:
    return name.replace("_", " ")
