"""Whether a rule counts a signal, and what the alert would be about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from mita_otel.alerts.signal import Signal
from mita_otel.policy.alerts import AlertRule, Grouping

_SEPARATOR: Final = " · "
_MAX_PART: Final = 80
"""Characters of one part of a subject."""


@dataclass(frozen=True, slots=True)
class Match:
    """A rule counts a signal."""

    rule: str
    """The rule's name."""
    subject: str
    """What the alert would be about, as in `payment_processing`; empty where a rule has one alert. May hold a secret."""


class Matcher:
    """Finds the rules that count a signal.

    Args:
        rules: The rules that are watched here, by name.
    """

    def __init__(self, rules: Mapping[str, AlertRule]) -> None:
        self._rules = {name: rule for name, rule in rules.items() if rule.is_counted}
        self.streams = frozenset(stream for rule in self._rules.values() for stream in rule.on)
        """What any rule counts one by one."""

    def match(self, signal: Signal) -> list[Match]:
        """Return the rules that count the signal."""
        return [
            Match(name, subject_of(rule.group_by, signal))
            for name, rule in self._rules.items()
            if counts(rule, signal)
        ]


def counts(rule: AlertRule, signal: Signal) -> bool:
    """Return whether everything that the rule names is true of the signal."""
    return (
        signal.stream in rule.on
        and (not rule.categories or signal.category in rule.categories)
        and (not rule.severities or signal.severity in rule.severities)
        and (not rule.kinds or signal.stream != "breaches" or signal.kind in rule.kinds)
        and (rule.source == "any" or signal.mobile is (rule.source == "mobile"))
        and not (rule.unhandled and signal.handled)
        and (not rule.operations or matches_any(signal.operation, rule.operations))
        and is_named(rule, signal.name)
    )


def is_named(rule: AlertRule, name: str) -> bool:
    """Return whether the rule's names and exceptions let the name through."""
    return (not rule.names or matches_any(name, rule.names)) and not matches_any(name, rule.except_names)


def matches_any(text: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns stands for the text. Capitals count; `*` stands for anything."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def subject_of(group_by: tuple[Grouping, ...], signal: Signal) -> str:
    """Return what tells this alert from others of its rule."""
    parts = [str(getattr(signal, name))[:_MAX_PART] or f"no {name}" for name in group_by]
    return _SEPARATOR.join(parts)
