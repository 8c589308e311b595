"""A summary has counts, durations, breaches, the slowest spans, and its coverage."""

from __future__ import annotations

import json
from typing import Any

from mita_otel.latency.operations import Operation
from mita_otel.latency.summary import Coverage, summarise

from .test_recorder import START, Clock, record, recorder

COVERAGE = Coverage(START, START + 3600, "process")


def filled() -> Any:
    memory = recorder(Clock())
    for number in range(1, 101):
        record(memory, number, trace_id=number, failed=number > 98, breached=number > 95)
    record(memory, 1000, Operation("database", "SELECT payments"), trace_id=7)
    return memory.windows(0)


def test_an_empty_summary_has_every_key() -> None:
    summary = summarise([], COVERAGE)
    assert (summary["count"], summary["errors"], summary["breaches"]) == (0, 0, 0)
    assert summary["p99_ms"] is None and summary["mean_ms"] is None
    assert (summary["categories"], summary["slowest"]) == ({}, [])
    assert (summary["start"], summary["end"]) == ("2027-01-15T08:00:00Z", "2027-01-15T09:00:00Z")


def test_numbers_are_in_total_by_category_and_by_operation() -> None:
    summary = summarise(filled(), COVERAGE)
    assert json.loads(json.dumps(summary)) == summary
    assert (summary["count"], summary["errors"], summary["breaches"]) == (101, 2, 5)
    assert list(summary["categories"]) == ["api", "database"]
    api = summary["categories"]["api"]
    assert (api["count"], api["mean_ms"], api["min_ms"], api["max_ms"]) == (100, 50.5, 1, 100)
    for percentile in (50, 90, 95, 99):
        assert abs(api[f"p{percentile}_ms"] - percentile) <= 0.01 * percentile
    assert api["operations"]["GET /a"]["count"] == 100
    assert summary["categories"]["database"]["operations"]["SELECT payments"]["p50_ms"] == 1000


def test_the_slowest_spans_are_listed_with_their_traces() -> None:
    slowest = summarise(filled(), COVERAGE)["slowest"]
    assert [(one["operation"], one["duration_ms"], one["trace_id"][-2:]) for one in slowest] == [
        ("SELECT payments", 1000, "07"),
        ("GET /a", 100, "64"),
        ("GET /a", 99, "63"),
        ("GET /a", 98, "62"),
    ]


def test_a_summary_states_its_coverage() -> None:
    summary = summarise([], Coverage(0, 1, "all_workers", sample_rate=0.1, relative_error=0.02))
    assert (summary["scope"], summary["sample_rate"], summary["relative_error"]) == ("all_workers", 0.1, 0.02)
