"""How many events there were in a window: exactly, from the first one on, over restarts.

Prometheus' own `increase()` does not say that: it knows nothing of a counter's first value (a first error would be
none), it needs two samples in the window (with one a minute, and a window of a minute, it is never more than none),
and it extrapolates (two errors can be 2.5). So the value now is compared with the value a window ago:

- A process that ended is remembered for a window, and its errors with it.
- A counter that went back was begun anew, by a restart: there `increase()` is used, in whole numbers.
- A counter of a process that began within the window began at 0.
- So did one that was not there a window ago although its target was scraped. If its target was not, Prometheus itself
  has only just come (back): what it finds is old, and tells nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from mita_otel.alerts.prometheus.rule_file import PrometheusRule
from mita_otel.alerts.prometheus.writing import duration

JOB: Final = "job"
"""The label that tells services apart; a service's instances are counted together."""


def increase(metric: str, labels: tuple[str, ...], window_s: float, scrape_s: float) -> str:
    """Return the expression of how much a counter rose, by job and labels.

    Args:
        metric: The counter's name, with matchers if need be.
        labels: What is told apart.
        window_s: Seconds that are looked back on.
        scrape_s: Most seconds between two samples.
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


@dataclass
class Recordings:
    """The series that rules count in, each recorded once.

    Args:
        scrape_s: Most seconds between two samples.
    """

    scrape_s: float
    _rules: dict[str, PrometheusRule] = field(default_factory=dict)

    @property
    def rules(self) -> tuple[PrometheusRule, ...]:
        """The rules that record."""
        return tuple(self._rules.values())

    def increase(self, what: str, metric: str, labels: tuple[str, ...], window_s: float) -> str:
        """Record how much a counter rose in a window, and return the series' name, as in `mita:errors:increase1m`."""
        return self.record(what, window_s, increase(metric, labels, window_s, self.scrape_s))

    def record(self, what: str, window_s: float, expr: str) -> str:
        """Record an expression, and return the series' name."""
        name = f"mita:{what}:increase{duration(window_s)}"
        self._rules.setdefault(name, PrometheusRule(expr, record=name))
        return name
