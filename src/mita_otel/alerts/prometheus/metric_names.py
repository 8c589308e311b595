"""Names of our metrics and attributes in Prometheus: dots become underscores, units are appended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from mita_otel import semconv
from mita_otel.latency.facts import CACHES
from mita_otel.latency.measures import METRICS


def label(name: str) -> str:
    """Return the label of an attribute."""
    return name.replace(".", "_")


def counter(name: str) -> str:
    """Return the series of a counter."""
    return f"{label(name)}_total"


ERRORS: Final = counter(semconv.ERROR_COUNTER)
SECURITY: Final = counter(semconv.SECURITY_COUNTER)
VIOLATIONS: Final = counter(semconv.VIOLATION_COUNTER)
BREACHES: Final = counter(semconv.LATENCY_COUNTER)
CHECKED: Final = counter(semconv.LATENCY_CHECKED)
DROPPED: Final = counter(semconv.DROPPED_COUNTER)
LIMITS: Final = "mita_latency_limit_seconds"
"""The policy's limits, which the rule file itself records."""
ERROR_TYPE: Final = label(semconv.ERROR_TYPE)
_KIND: Final = label(semconv.OPERATION_KIND)
_SYSTEM: Final = label(semconv.DB_SYSTEM[0])


@dataclass(frozen=True, slots=True)
class EventCounter:
    """A counter of single events."""

    metric: str
    labels: tuple[str, ...]
    name: str = ""
    """Label that holds what rules call the name; empty: the metric has no such label."""


EVENTS: Final[Mapping[str, EventCounter]] = {
    "errors": EventCounter(ERRORS, ("category", "severity", "source", "handled")),
    "security": EventCounter(SECURITY, ("category", "severity", "event_type"), "event_type"),
    "compliance": EventCounter(VIOLATIONS, ("category", "severity", "regulation"), "regulation"),
    "breaches": EventCounter(BREACHES, ("kind", "rule"), "rule"),
}
"""Counters by the streams that rules watch."""


def spans_of(kind: str) -> str:
    """Return the series that counts the spans of a kind."""
    metric = f"{label(METRICS.get(kind, semconv.OPERATION_DURATION))}_seconds_count"
    if kind in ("database", "cache"):
        unlike = "!~" if kind == "database" else "=~"
        return f'{metric}{{{_SYSTEM}{unlike}"{"|".join(sorted(CACHES))}"}}'
    return metric if kind in METRICS else f'{metric}{{{_KIND}="{kind}"}}'
