"""Evaluates rules with Prometheus' `promtool` and generated series."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mita_otel.alerts.prometheus.rule_file import PrometheusRule, RuleFile, rule_file
from mita_otel.policy import Policy

UNPACKED = Path(__file__).parents[2] / ".receivers" / "prometheus"
"""The folder in which `make prometheus` unpacks Debian's packages."""

Value = float | None | str
"""A value from then on; None: no sample; `stale`: the series has ended."""


def tool(*names: str) -> str:
    """Return the path of a Prometheus program, by any of its names; skip the test without one."""
    found = next(
        filter(
            None,
            (shutil.which(name, path=str(UNPACKED / "usr" / "bin")) or shutil.which(name) for name in names),
        ),
        None,
    )
    if found is None:
        pytest.skip(f"{names[0]} is not installed: make prometheus")
    return found


def check(command: Sequence[str], cwd: Path | None = None) -> None:
    """Run a program, which has to be content."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass
class World:
    """Scraped samples.

    Args:
        policy: The policy whose rules look at it.
        folder: Where files go.
        scrape_s: Seconds between two samples.
    """

    policy: Policy
    folder: Path
    scrape_s: int = 15
    environment: str = "production"
    series: list[tuple[str, Mapping[float, Value]]] = field(default_factory=list)

    def saw(
        self,
        metric: str,
        changes: Mapping[float, Value],
        job: str = "bank",
        instance: str = "a",
        **labels: str,
    ) -> None:
        """Add a series: its values by the second from which they apply."""
        shown = {"job": job, "instance": instance, **labels}
        text = ",".join(f"{name}={json.dumps(value)}" for name, value in shown.items())
        self.series.append((f"{metric}{{{text}}}", changes))

    def target(self, job: str = "bank", instance: str = "a", since: float = 0) -> None:
        """Add a target that is scraped."""
        self.saw("up", {since: 1}, job=job, instance=instance)

    def rises(
        self, metric: str, at: Sequence[float], begin: float | None = None, start: int = 0, **labels: str
    ) -> None:
        """Add a counter that rises by one at each of these seconds; it is there from `begin` on, or from its first rise."""
        changes: dict[float, Value] = {} if begin is None else {begin: start}
        for second in sorted(set(at)):
            changes[second] = start + sum(one <= second for one in at)
        self.saw(metric, changes, **labels)

    def expects(
        self, rule: str, expected: Mapping[float, Sequence[Mapping[str, str]]], step: int = 0
    ) -> None:
        """Assert which alerts of a rule fire at which seconds, by the labels that are not the rule's own."""
        promtool = tool("promtool")
        file = rule_file(self.policy, self.environment)
        alert = alert_of(file, rule, step)
        (self.folder / "rules.yml").write_text(file.yaml())
        end = max(expected)
        checks = [
            {
                "alertname": alert.alert,
                "eval_time": f"{round(at * 1000)}ms",
                "exp_alerts": [
                    {"exp_labels": {**one, **alert.labels}, "exp_annotations": _shown(alert, one)}
                    for one in fired
                ],
            }
            for at, fired in expected.items()
        ]
        test = {
            "interval": f"{self.scrape_s}s",
            "input_series": [
                {"series": name, "values": self._values(changes, end)} for name, changes in self.series
            ],
            "alert_rule_test": checks,
        }
        (self.folder / "test.yml").write_text(
            json.dumps({"rule_files": ["rules.yml"], "evaluation_interval": "15s", "tests": [test]})
        )
        check([promtool, "test", "rules", "test.yml"], cwd=self.folder)

    def _values(self, changes: Mapping[float, Value], end: float) -> str:
        shown = []
        for at in range(0, int(end) + self.scrape_s, self.scrape_s):
            past = [second for second in changes if second <= at]
            value = changes[max(past)] if past else None
            ended = value == "stale" and past and max(past) <= at - self.scrape_s
            shown.append("_" if value is None or ended else str(value))
        return " ".join(shown)


def alert_of(file: RuleFile, rule: str, step: int = 0) -> PrometheusRule:
    """Return the alert of a rule, or of a step of its escalation."""
    [found] = [
        one
        for group in file.groups
        for one in group.rules
        if one.alert and (one.labels["rule"], one.labels["step"]) == (rule, str(step))
    ]
    return found


def _shown(alert: PrometheusRule, labels: Mapping[str, str]) -> dict[str, str]:
    return {
        name: re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda one: labels.get(one[1], ""), text)
        for name, text in alert.annotations.items()
    }
