"""Silences: for a while nobody is told of some alerts. They are watched all the same."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from mita_otel.alerts.matching import matches_any


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """For a while nobody is told of alerts of some rules. Times are nanoseconds since the epoch."""

    id: str
    rule: str
    """Name of the rule; `*` stands for anything."""
    subject: str
    """What the alert is about; `*` stands for anything."""
    from_ns: int
    until_ns: int
    by: str
    """Who does not want to be told."""
    why: str

    def covers(self, rule: str, subject: str, now_ns: int) -> bool:
        """Return whether it holds for an alert now."""
        return (
            self.from_ns <= now_ns < self.until_ns
            and matches_any(rule, [self.rule])
            and matches_any(subject, [self.subject])
        )


def is_silenced(silences: Iterable[Silence], rule: str, subject: str, now_ns: int) -> bool:
    """Return whether nobody is to be told of an alert now."""
    return any(one.covers(rule, subject, now_ns) for one in silences)
