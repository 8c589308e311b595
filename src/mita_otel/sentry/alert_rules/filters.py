"""Rules about single events, as filters of a Sentry alert and as a query of a Sentry monitor: pure functions."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertRule

FilterOperator = Literal["eq", "ne", "sw", "ew", "co", "is", "ns", "gte"]
"""Sentry's comparisons: equal, not equal, starts with, ends with, contains, is set, is not set, at least."""

LEVELS: Final = ((21, 50), (17, 40), (13, 30), (9, 20), (0, 10))
"""Lowest OpenTelemetry severity number of each level, and Sentry's number of that level."""
_MAX_GROUPS: Final = 12
_UNQUOTED: Final = re.compile(r"[A-Za-z0-9_.*/:-]+\Z")


class UnsupportedInSentryError(Exception):
    """Sentry cannot express the rule; the message says why."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A condition on one property of an event."""

    about: Literal["tag", "attribute", "level"]
    key: str
    operator: FilterOperator
    value: str | int = ""


@dataclass(frozen=True, slots=True)
class SearchTerm:
    """A term of Sentry's search syntax: `key:value`, `key:[a, b]`, `!key:value` or `has:key`."""

    key: str
    values: tuple[str, ...] = ()
    """Accepted values; empty: the key stands alone."""
    negated: bool = False


def filter_groups(policy: Policy, rule: AlertRule) -> Iterator[tuple[EventFilter, ...]]:
    """Yield groups of filters. An event matches the rule if it passes every filter of one group.

    Raises:
        UnsupportedInSentryError: Sentry's filters cannot express the rule.
    """
    common, alternatives = _filters(policy, rule)
    groups = list(product(*alternatives))
    if len(groups) > _MAX_GROUPS:
        raise UnsupportedInSentryError(f"it needs {len(groups)} groups of filters, more than {_MAX_GROUPS}")
    for group in groups:
        yield (*common, *group)


def _filters(policy: Policy, rule: AlertRule) -> tuple[list[EventFilter], list[list[EventFilter]]]:
    """Return the filters that every event must pass, and lists of which it must pass one each."""
    common = [EventFilter("tag", "financial_service", "eq", "true")] if rule.source != "mobile" else []
    common += _stream_filters(rule)
    alternatives: list[list[EventFilter]] = []
    lowest = _lowest_level(policy, rule)
    if lowest is not None:
        common.append(EventFilter("level", "level", "gte", lowest))
    elif rule.severities:
        alternatives.append([EventFilter("tag", "severity", "eq", one) for one in rule.severities])
    for tag, values in (("error_category", rule.categories), ("financial_operation", rule.operations)):
        if values:
            alternatives.append([_pattern_filter("tag", tag, value) for value in values])
    about, key = _name_property(rule)
    if rule.names:
        alternatives.append([_pattern_filter(about, key, name) for name in rule.names])
    common += [_negated(_pattern_filter(about, key, name)) for name in rule.except_names]
    if rule.unhandled:
        common.append(EventFilter("attribute", "error.unhandled", "eq", "true"))
    return common, alternatives


def _stream_filters(rule: AlertRule) -> list[EventFilter]:
    """Return the filters that distinguish errors, security events and compliance violations by their tags."""
    filters = []
    if "security" not in rule.on:
        filters.append(EventFilter("tag", "security_event", "ns"))
    elif rule.on == ("security",):
        filters.append(EventFilter("tag", "security_event", "is"))
    if rule.on == ("compliance",):
        filters.append(EventFilter("tag", "error_category", "eq", "compliance_issue"))
    return filters


def _lowest_level(policy: Policy, rule: AlertRule) -> int | None:
    """Return the lowest level that the rule counts, if it counts every level from there up; otherwise None."""
    if not rule.severities:
        return None
    levels = {
        name: next(level for number, level in LEVELS if mapping.number >= number)
        for name, mapping in policy.finance.severities.items()
    }
    lowest = min(levels[name] for name in rule.severities)
    from_there_up = {name for name, level in levels.items() if level >= lowest}
    return lowest if set(rule.severities) == from_there_up else None


def _name_property(rule: AlertRule) -> tuple[Literal["tag", "attribute"], str]:
    """Return the property of an event that holds what the rule calls its name."""
    if "security" in rule.on:
        return "tag", "security_event"
    if rule.on == ("compliance",):
        return "attribute", "message"  # the message starts with the regulation
    return "attribute", "exception.type"


def _pattern_filter(about: Literal["tag", "attribute"], key: str, pattern: str) -> EventFilter:
    text = pattern.strip("*")
    if any(char in text for char in "*?["):
        raise UnsupportedInSentryError(
            f"the pattern {pattern!r} has a wildcard in the middle, which Sentry's filters do not support"
        )
    starts, ends = pattern.endswith("*"), pattern.startswith("*")
    operator: FilterOperator = "co" if starts and ends else "sw" if starts else "ew" if ends else "eq"
    if key == "message" and operator == "eq":
        operator = "sw"
    return EventFilter(about, key, operator, text)


def _negated(one: EventFilter) -> EventFilter:
    if one.operator != "eq":
        raise UnsupportedInSentryError(
            f"Sentry's filters do not support an exception with a wildcard ({one.value})"
        )
    return EventFilter(one.about, one.key, "ne", one.value)


def search_query(rule: AlertRule) -> str:
    """Return the query that finds the events that the rule counts."""
    terms: list[SearchTerm] = []
    if rule.source != "mobile":
        terms.append(SearchTerm("financial_service", ("true",)))
    if "security" not in rule.on:
        terms.append(SearchTerm("has:security_event", negated=True))
    elif rule.on == ("security",):
        terms.append(SearchTerm("has:security_event"))
    if rule.on == ("compliance",):
        terms.append(SearchTerm("error_category", ("compliance_issue",)))
    accepted: Mapping[str, tuple[str, ...]] = {
        "severity": rule.severities,
        "error_category": rule.categories,
        "financial_operation": rule.operations,
    }
    terms += [SearchTerm(key, values) for key, values in accepted.items() if values]
    _, key = _name_property(rule)
    key = {"exception.type": "error.type"}.get(key, key)
    for names, negated in ((rule.names, False), (rule.except_names, True)):
        if names:
            # A message starts with the name and goes on.
            values = tuple(f"{name.rstrip('*')}*" if key == "message" else name for name in names)
            terms.append(SearchTerm(key, values, negated))
    if rule.unhandled:
        terms.append(SearchTerm("error.unhandled", ("true",)))
    return " ".join(map(_written, terms))


def _written(term: SearchTerm) -> str:
    key = f"!{term.key}" if term.negated else term.key
    if not term.values:
        return key
    if len(term.values) == 1:
        return f"{key}:{_quoted(term.values[0])}"
    if any("*" in value for value in term.values):  # lists do not support wildcards
        parts = [f"{key}:{_quoted(value)}" for value in term.values]
        return " ".join(parts) if term.negated else f"({' OR '.join(parts)})"
    return f"{key}:[{', '.join(map(_quoted, term.values))}]"


def _quoted(text: str) -> str:
    if _UNQUOTED.match(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
