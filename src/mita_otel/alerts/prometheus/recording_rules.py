"""Recording rules: exact counts of events within a window, from the first event on and across restarts.

Prometheus' `increase()` is not exact. It ignores a counter's first value, so the first error does not count. It needs two
samples in the window, which one sample a minute and a window of a minute never provide. It extrapolates, so two errors can
be 2.5. The expressions here compare the value now with the value one window ago instead:

- A process that has ended still counts for one window.
- After a reset of the counter (a restart), `increase()` is used, rounded down.
- The counter of a process that started within the window started at 0.
- A counter that was absent one window ago started at 0, if its target was scraped then. If the target was not scraped,
  Prometheus itself has just started, and the events it finds may be old.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mita_otel.alerts.prometheus.yaml_format import Node, duration

JOB: Final = "job"
"""The label that identifies a service. The instances of a service are added up."""


@dataclass(frozen=True, slots=True)
class PrometheusRule:
    """A recording rule or an alerting rule."""

    expr: str
    alert: str = ""
    """Name of the alert; empty: a recording rule."""
    record: str = ""
    """Name of the recorded series; empty: an alerting rule."""
    hold_for: str = ""
    """Duration for which the expression must hold before the alert fires; empty: 0."""
    keep_firing_for: str = ""
    """Duration for which the alert keeps firing after the expression last held."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def node(self) -> Node:
        """Return the rule as a mapping for the file."""
        entries: dict[str, Node] = {
            "record": self.record,
            "alert": self.alert,
            "expr": self.expr,
            "for": self.hold_for,
            "keep_firing_for": self.keep_firing_for,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        return {name: value for name, value in entries.items() if value}


@dataclass
class RecordingRules:
    """Collects recording rules, each once.

    Args:
        scrape_s: Maximum seconds between two scrapes.
    """

    scrape_s: float
    _rules: dict[str, PrometheusRule] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[PrometheusRule, ...]:
        """The rules so far."""
        return tuple(self._rules.values())

    def increase(self, what: str, metric: str, labels: tuple[str, ...], window_s: float) -> str:
        """Record the increase of a counter, and return the series' name, as in `mita:errors:increase1m`."""
        return self.record(what, window_s, increase(metric, labels, window_s, self.scrape_s))

    def record(self, what: str, window_s: float, expr: str) -> str:
        """Record an expression, and return the series' name."""
        name = f"mita:{what}:increase{duration(window_s)}"
        self._rules.setdefault(name, PrometheusRule(expr, record=name))
        return name


def increase(metric: str, labels: tuple[str, ...], window_s: float, scrape_s: float) -> str:
    """Return the expression for the increase of a counter, by job and labels.

    Args:
        metric: Name of the counter, with matchers if needed.
        labels: Labels to group by.
        window_s: Seconds of the window.
        scrape_s: Maximum seconds between two scrapes.
    """
    window, reach = duration(window_s), duration(window_s + scrape_s)
    now = f"last_over_time({metric}[{reach}])"
    before = f"last_over_time({metric}[{reach}] offset {window})"
    restarted = f"resets({metric}[{reach}]) > 0"
    parts = (
        f"(floor(increase({metric}[{window}])) and {restarted})",
        f"({now} and on (job, instance) process_start_time_seconds > time() - {window_s:g})",
        f"({now} - {before} >= 0)",
        f"({now} unless on (job, instance) (up unless up offset {window} == 1))",
    )
    counted = "\n  or ".join(parts)
    return f"sum by ({', '.join((JOB, *labels))}) (\n  {counted}\n)"
