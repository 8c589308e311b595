"""`get_performance_summary`, as the guide names it."""

from __future__ import annotations

import time
from typing import Any

from mita_otel.latency.facts import PerformanceCategory
from mita_otel.latency.summary import Coverage, summarise
from mita_otel.sdk.configuration import configured
from mita_otel.sdk.performance import checked


def get_performance_summary(
    last_hours: float = 1, category: PerformanceCategory | str | None = None
) -> dict[str, Any]:
    """Return how fast the service was in the last hours (the guide's `get_performance_summary()`).

    Counts are of every span that was recorded, before tail sampling took any away. Percentiles come from mergeable
    sketches: `relative_error` says by how much of their value they may be off. `scope` says whether the numbers are
    of this process (`process`), or of every worker (`all_workers`), which takes a store. `sample_rate` below 1 says
    that traces were left out when they began (`sampling.mode = "head"`).

    Args:
        last_hours: Hours to look back on. A process remembers `summary.hours` of the policy, a store more.
        category: One category alone. None: all.

    Returns:
        JSON values: `start`, `end`, `scope`, `sample_rate`, `relative_error`; `count`, `errors`, `breaches`, `mean_ms`,
        `min_ms`, `max_ms`, `p50_ms`, `p90_ms`, `p95_ms`, `p99_ms` (None where nothing was measured); `slowest`, a list
        of spans with their trace ids; and `categories`, by name, with the same numbers and `operations`, by name,
        with the same numbers, `rule` and `limit_ms`. Without `configure()` there is nothing in it.

    Raises:
        ValueError: `last_hours` is not above 0, or there is no such category.
    """
    checked(last_hours, category)
    telemetry = configured()
    if telemetry is not None and telemetry.performance is not None:
        return telemetry.performance.summary(last_hours, category)
    now = time.time()
    return summarise([], Coverage(now - last_hours * 3600, now, "process"))
