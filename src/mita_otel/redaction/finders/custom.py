"""Finders that a policy adds: by pattern, or by a callable behind an entry point."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from importlib.metadata import entry_points
from typing import Any, Final

from mita_otel.errors import ConfigurationError
from mita_otel.policy.redaction import CustomRule
from mita_otel.redaction.finders.hit import Finder, Hit

ENTRY_POINT_GROUP: Final = "mita_otel_finder"


def custom_finders(rules: Mapping[str, CustomRule]) -> list[Finder]:
    """Return a finder for each rule that has a pattern or names a callable.

    Raises:
        ConfigurationError: No installed package has the entry point that a rule names, or it cannot be imported.
    """
    finders: list[Finder] = []
    for name, rule in rules.items():
        if rule.pattern:
            finders.append(Finder(PatternFinder(name, re.compile(rule.pattern))))
        if rule.finder:
            finders.append(Finder(CallableFinder(name, _callable(name, rule.finder))))
    return finders


def _callable(rule: str, finder: str) -> Any:
    setting = f"[redaction.custom.{rule}] finder = {finder!r}"
    found = list(entry_points(group=ENTRY_POINT_GROUP, name=finder))
    if not found:
        raise ConfigurationError(
            f"{setting}: no installed package has this entry point in "
            f"the group {ENTRY_POINT_GROUP!r}; install the one that does, or remove the rule"
        )
    try:
        loaded = found[0].load()
    except Exception as error:
        raise ConfigurationError(
            f"{setting}: {found[0].value} cannot be imported ({type(error).__name__}: {error}); "
            "fix the package, or remove the rule"
        ) from error
    if not callable(loaded):
        raise ConfigurationError(f"{setting}: {found[0].value} is not callable; name a function")
    return loaded


class PatternFinder:
    """Finds what a pattern matches.

    Args:
        rule: Name of the rule.
        pattern: The pattern, checked when the policy was loaded.
    """

    def __init__(self, rule: str, pattern: re.Pattern[str]) -> None:
        self._rule = rule
        self._pattern = pattern

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the matches."""
        for match in self._pattern.finditer(text):
            yield Hit(match.start(), match.end(), self._rule)


class CallableFinder:
    """Finds what a custom function finds.

    Args:
        rule: Name of the rule.
        find: Takes a text and returns pairs of start and end. If it raises, the text is withheld.
    """

    def __init__(self, rule: str, find: Any) -> None:
        self._rule = rule
        self._find = find

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield what the function found."""
        for start, end in self._find(text):
            yield Hit(max(0, int(start)), min(len(text), int(end)), self._rule)
