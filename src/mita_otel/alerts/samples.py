"""What rules count: samples of single events or of the spans of a short interval."""

from __future__ import annotations

from dataclasses import dataclass

OTHER = "(other)"
"""Subject of everything beyond the maximum number of subjects."""


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An example of a counted event, redacted."""

    message: str = ""
    name: str = ""
    category: str = ""
    severity: str = ""
    operation: str = ""
    event_id: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A count for a rule."""

    rule: str
    """Name of the rule."""
    subject: str
    """See `matching.RuleMatch.subject`; redacted."""
    at_ns: int
    """Time of the event or start of the interval: nanoseconds since the epoch."""
    hits: int = 1
    """Events; or spans that failed or exceeded a limit."""
    total: int = 1
    """Events; or all spans."""
    exemplar: Exemplar | None = None
    single: bool = True
    """Whether it is one event. Otherwise it is the sum of an interval."""


@dataclass(slots=True)
class Counts:
    """The sum of samples."""

    hits: int = 0
    total: int = 0

    def add(self, hits: int, total: int) -> None:
        """Add a sample's counts."""
        self.hits += hits
        self.total += total

    @property
    def ratio(self) -> float:
        """The fraction of spans that failed or exceeded a limit; 0 without spans."""
        return self.hits / self.total if self.total else 0.0
