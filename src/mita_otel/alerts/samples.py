"""What rules count: samples of single events or of the spans of a short interval."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from mita_otel.alerts.events import AlertEvent
from mita_otel.policy.alerts import AlertRule, Grouping

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


_SEPARATOR: Final = " · "
_MAX_PART: Final = 80
"""Characters of one part of a subject."""


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A rule that counts an event."""

    rule: str
    """Name of the rule."""
    subject: str
    """Subject of the alert, such as `payment_processing`; empty if the rule has one alert. Not redacted."""


class RuleMatcher:
    """Finds the rules that count an event.

    Args:
        rules: The rules that this process evaluates, by name.
    """

    def __init__(self, rules: Mapping[str, AlertRule]) -> None:
        self._rules = {name: rule for name, rule in rules.items() if rule.is_counted}
        self.streams = frozenset(stream for rule in self._rules.values() for stream in rule.on)
        """Streams of single events that a rule counts."""

    def match(self, event: AlertEvent) -> list[RuleMatch]:
        """Return the rules that count the event."""
        return [
            RuleMatch(name, subject_of(rule.group_by, event))
            for name, rule in self._rules.items()
            if counts(rule, event)
        ]


def counts(rule: AlertRule, event: AlertEvent) -> bool:
    """Return whether the event meets every criterion of the rule."""
    return (
        event.stream in rule.on
        and (not rule.categories or event.category in rule.categories)
        and (not rule.severities or event.severity in rule.severities)
        and (not rule.kinds or event.stream != "breaches" or event.kind in rule.kinds)
        and (rule.source == "any" or event.mobile is (rule.source == "mobile"))
        and not (rule.unhandled and event.handled)
        and (not rule.operations or matches_any(event.operation, rule.operations))
        and name_matches(rule, event.name)
    )


def name_matches(rule: AlertRule, name: str) -> bool:
    """Return whether a name is among the rule's names and not among its exceptions."""
    return (not rule.names or matches_any(name, rule.names)) and not matches_any(name, rule.except_names)


def matches_any(text: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern matches the text. Case-sensitive; `*` matches anything."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def subject_of(group_by: tuple[Grouping, ...], event: AlertEvent) -> str:
    """Return the properties of an event by which a rule groups its alerts."""
    parts = [str(getattr(event, name))[:_MAX_PART] or f"no {name}" for name in group_by]
    return _SEPARATOR.join(parts)
