"""What was counted: points in time, of one event each or of a short while's spans."""

from __future__ import annotations

from dataclasses import dataclass

OTHER = "(other)"
"""The subject of what is one too many to be told apart."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What one event was like: redacted, to be shown."""

    message: str = ""
    name: str = ""
    category: str = ""
    severity: str = ""
    operation: str = ""
    event_id: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Point:
    """Something that a rule counted."""

    rule: str
    """The rule's name."""
    subject: str
    """See `matching.Match.subject`; redacted."""
    at_ns: int
    """When it happened, or when its while began: nanoseconds since the epoch."""
    hits: int = 1
    """Events; or spans that failed, or broke a limit."""
    total: int = 1
    """Events; or spans at all."""
    sample: Sample | None = None
    single: bool = True
    """Whether it is one event; otherwise it is a sum."""


@dataclass(slots=True)
class Sums:
    """Points added up."""

    hits: int = 0
    total: int = 0

    def add(self, hits: int, total: int) -> None:
        """Add what was counted."""
        self.hits += hits
        self.total += total

    @property
    def share(self) -> float:
        """The share of spans that failed or broke a limit; 0 without spans."""
        return self.hits / self.total if self.total else 0.0
