"""A rule file as Prometheus reads it (2.42 and later)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mita_otel.alerts.prometheus.writing import Node, yaml


@dataclass(frozen=True, slots=True)
class PrometheusRule:
    """A rule of a group: an alert, or a series that is recorded."""

    expr: str
    alert: str = ""
    """The alert's name; empty: a recording rule."""
    record: str = ""
    hold_for: str = ""
    """How long the expression has to hold; empty: not at all."""
    keep_firing_for: str = ""
    """How long the alert goes on once the expression no longer holds."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)

    def node(self) -> Node:
        """Return the rule as it stands in the file."""
        named: dict[str, Node] = {
            "record": self.record,
            "alert": self.alert,
            "expr": self.expr,
            "for": self.hold_for,
            "keep_firing_for": self.keep_firing_for,
            "labels": self.labels,
            "annotations": self.annotations,
        }
        return {name: value for name, value in named.items() if value}


@dataclass(frozen=True, slots=True)
class RuleGroup:
    """Rules that are evaluated one after the other."""

    name: str
    rules: tuple[PrometheusRule, ...]
    interval: str


@dataclass(frozen=True, slots=True)
class RuleFile:
    """What is written, and what could not be."""

    groups: tuple[RuleGroup, ...]
    left_out: Mapping[str, str]
    """Rules that no metric of ours can stand for, and why."""

    def yaml(self) -> str:
        """Return the file."""
        groups: list[Node] = [
            {"name": one.name, "interval": one.interval, "rules": [rule.node() for rule in one.rules]}
            for one in self.groups
        ]
        comments = [f"not in here: {name}: {why}" for name, why in self.left_out.items()]
        return yaml({"groups": groups}, comments)
