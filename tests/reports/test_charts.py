"""Plots draw every limit, and show time without measurements as a gap."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from mita_otel.reports.charts import Plot, plots
from mita_otel.reports.model import CategoryLimits, Report
from mita_otel.reports.report_builder import ReportInputs, build_report
from mita_otel.reports.scope import Period, ReportScope, last_days
from reports.seed import NOW


@pytest.fixture
def report(inputs: ReportInputs) -> Report:
    return build_report("monthly", ReportScope(last_days(10, NOW)), inputs)


def over_time(report: Report) -> list[Plot]:
    return [one for one in plots(report) if isinstance(one, Plot)]


def test_every_limit_of_a_category_is_drawn(inputs: ReportInputs) -> None:
    """Also limits of operations that the table leaves out."""
    few = inputs.policy.replace(reports=inputs.policy.reports.replace(max_operations=1))
    report = build_report("performance", ReportScope(last_days(2, NOW)), replace(inputs, policy=few))
    assert report.performance is not None
    assert len(report.performance.operations) == 1
    api = next(one for one in over_time(report) if one.title.startswith("api"))
    assert api.drawing.count('class="limit"') == 4
    assert ("limit", "limit 300, 500, 800, 1000 ms") in api.legend
    ten = [float(number) for number in range(100, 1100, 100)]
    many = replace(report.performance, limits=[CategoryLimits(category="api", limits_ms=ten)])
    api = next(one for one in over_time(replace(report, performance=many)) if one.title.startswith("api"))
    assert api.drawing.count('class="limit"') == 10


def test_gaps_are_drawn_in_every_plot_over_time(report: Report) -> None:
    """Lines are interrupted, and a gap differs from a column of height 0."""
    assert report.coverage is not None
    gaps = report.coverage.gaps
    assert gaps
    shown = over_time(report)
    assert {one.section for one in shown} == {"performance", "errors", "security", "audit"}
    for one in shown:
        assert one.drawing.count('class="gap"') == len(gaps) + 1  # and the minutes until the next full hour
        assert ("gap", "not measured") in one.legend


def test_a_category_that_was_not_measured_interrupts_its_line(report: Report) -> None:
    assert report.performance is not None
    kept = [one for one in report.performance.steps if one.start.day != 20]
    without = replace(report, performance=replace(report.performance, steps=kept))
    whole, broken = (next(iter(over_time(one))).drawing.count("<polyline") for one in (report, without))
    assert (whole, broken) == (3, 6)


def test_future_time_is_not_a_measurement(inputs: ReportInputs) -> None:
    start = datetime(2026, 11, 25, tzinfo=UTC)
    report = build_report("daily", ReportScope(Period(start, start + timedelta(days=1))), inputs)
    audit = next(iter(over_time(report)))
    assert "not measured yet" in audit.drawing
    assert 'class="gap" x="395.8"' in audit.drawing
