"""Summaries of windows: counts, percentiles and slowest spans, by category and operation."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from mita_otel.latency.facts import KINDS
from mita_otel.latency.sketch import Sketch
from mita_otel.latency.window import LatencyWindow, SlowSpan, add_up

PERCENTILES = (50, 90, 95, 99)
"""The percentiles of a summary."""

_SLOWEST = 10
"""Number of slowest spans in a summary."""


@dataclass(frozen=True, slots=True)
class Coverage:
    """What a summary covers. The summary contains it."""

    start_s: float
    """Seconds since the epoch."""
    end_s: float
    scope: Literal["process", "all_workers"]
    """Whether it covers this process, or every worker with windows in the store."""
    sample_rate: float = 1.0
    """Fraction of the spans that was counted: below 1 with head sampling."""
    relative_error: float = 0.01
    """Relative error of a percentile."""


def summarise(windows: Iterable[LatencyWindow], coverage: Coverage) -> dict[str, Any]:
    """Return a summary as JSON values; durations in milliseconds, None where there is nothing.

    The keys `count`, `errors`, `breaches`, `mean_ms`, `min_ms`, `max_ms`, `p50_ms`, `p90_ms`, `p95_ms` and `p99_ms`
    come three times: for everything, for each category, and for each operation of a category.
    """
    everything = [window for window in windows if window.count]
    by_kind: dict[str, list[LatencyWindow]] = defaultdict(list)
    for window in everything:
        by_kind[window.kind].append(window)
    return {
        "start": _iso(coverage.start_s),
        "end": _iso(coverage.end_s),
        "scope": coverage.scope,
        "sample_rate": coverage.sample_rate,
        "relative_error": coverage.relative_error,
        **_numbers(everything, coverage),
        "slowest": _slowest(everything),
        "categories": {
            kind: {**_numbers(by_kind[kind], coverage), "operations": _operations(by_kind[kind], coverage)}
            for kind in sorted(by_kind, key=_order)
        },
    }


def _operations(windows: Sequence[LatencyWindow], coverage: Coverage) -> dict[str, dict[str, Any]]:
    """Return the numbers of each operation, the one with the most time in all first."""
    by_name: dict[str, list[LatencyWindow]] = defaultdict(list)
    for window in windows:
        by_name[window.operation].append(window)
    by_time = sorted(by_name.values(), key=lambda group: -sum(window.total_ms for window in group))
    return {
        group[0].operation: {
            **_numbers(group, coverage),
            "rule": max(group, key=lambda one: one.start_s).rule,
            "limit_ms": max(group, key=lambda one: one.start_s).limit_ms,
        }
        for group in by_time
    }


def _numbers(windows: Sequence[LatencyWindow], coverage: Coverage) -> dict[str, Any]:
    if not windows:
        empty = dict.fromkeys(["mean_ms", "min_ms", "max_ms", *(f"p{one}_ms" for one in PERCENTILES)])
        return {"count": 0, "errors": 0, "breaches": 0, **empty}
    total = add_up(windows, coverage.relative_error, 0)
    sketch = Sketch.unpack(total.sketch)
    return {
        "count": total.count,
        "errors": total.errors,
        "breaches": total.breaches,
        "mean_ms": _rounded(total.total_ms / total.count),
        "min_ms": _rounded(total.min_ms),
        "max_ms": _rounded(total.max_ms),
        **{f"p{one}_ms": _percentile(sketch, one, total) for one in PERCENTILES},
    }


def _percentile(sketch: Sketch, percentile: float, total: LatencyWindow) -> float | None:
    """Return the percentile, never beyond what occurred: a bucket's middle may lie outside."""
    value = sketch.percentile(percentile)
    return None if value is None else _rounded(min(max(value, total.min_ms), total.max_ms))


def _slowest(windows: Sequence[LatencyWindow]) -> list[dict[str, Any]]:
    spans = [(span, window) for window in windows for span in window.slowest]
    spans.sort(key=lambda pair: -pair[0].duration_ms)
    return [_slow(span, window) for span, window in spans[:_SLOWEST]]


def _slow(span: SlowSpan, window: LatencyWindow) -> dict[str, Any]:
    return {
        "category": window.kind,
        "operation": window.operation,
        "duration_ms": _rounded(span.duration_ms),
        "trace_id": span.trace_id,
        "at": _iso(span.at_s),
    }


def _order(kind: str) -> tuple[int, str]:
    return next((number for number, known in enumerate(KINDS) if known == kind), len(KINDS)), kind


def _rounded(milliseconds: float) -> float:
    return round(milliseconds, 3)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
