"""Rules on single events as Sentry's filters, and as a query where events are counted: pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Final, Literal

from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertRule
from mita_otel.sentry.alert_rules.search import Terms

Match = Literal["eq", "ne", "sw", "ew", "co", "is", "ns", "gte"]

LEVELS: Final = ((21, 50), (17, 40), (13, 30), (9, 20), (0, 10))
"""Sentry's number of a level, by OpenTelemetry's lowest severity number of it."""
_MAX_GROUPS: Final = 12


class NotInSentryError(Exception):
    """Sentry has nothing like it; the text says what."""


@dataclass(frozen=True, slots=True)
class Filter:
    """Something that must be true of an event."""

    about: Literal["tag", "attribute", "level"]
    key: str
    match: Match
    value: str | int = ""


def groups_of(policy: Policy, rule: AlertRule) -> Iterator[tuple[Filter, ...]]:
    """Yield the filters of single events: one group for each choice, since a group wants all of its filters."""
    fixed, choices = _filters(policy, rule)
    groups = list(product(*choices))
    if len(groups) > _MAX_GROUPS:
        raise NotInSentryError(f"it takes {len(groups)} groups of filters, more than {_MAX_GROUPS}")
    for group in groups:
        yield (*fixed, *group)


def _filters(policy: Policy, rule: AlertRule) -> tuple[list[Filter], list[list[Filter]]]:
    """Return the filters that must all be true, and those of which one each must be."""
    fixed = [Filter("tag", "financial_service", "eq", "true")] if rule.source != "mobile" else []
    fixed += _stream_filters(rule)
    choices: list[list[Filter]] = []
    least = _least_level(policy, rule)
    if least is not None:
        fixed.append(Filter("level", "level", "gte", least))
    elif rule.severities:
        choices.append([Filter("tag", "severity", "eq", one) for one in rule.severities])
    for tag, values in (("error_category", rule.categories), ("financial_operation", rule.operations)):
        if values:
            choices.append([_by_pattern("tag", tag, value) for value in values])
    about, key = _name_of(rule)
    if rule.names:
        choices.append([_by_pattern(about, key, name) for name in rule.names])
    fixed += [_negated(_by_pattern(about, key, name)) for name in rule.except_names]
    if rule.unhandled:
        fixed.append(Filter("attribute", "error.unhandled", "eq", "true"))
    return fixed, choices


def _stream_filters(rule: AlertRule) -> list[Filter]:
    """Return the filters that tell errors, security events and violations apart by their tags."""
    filters = []
    if "security" not in rule.on:
        filters.append(Filter("tag", "security_event", "ns"))
    elif rule.on == ("security",):
        filters.append(Filter("tag", "security_event", "is"))
    if rule.on == ("compliance",):
        filters.append(Filter("tag", "error_category", "eq", "compliance_issue"))
    return filters


def _least_level(policy: Policy, rule: AlertRule) -> int | None:
    """Return the level from which on the rule takes every event, if its severities are such."""
    if not rule.severities:
        return None
    levels = {
        name: next(level for lowest, level in LEVELS if mapping.number >= lowest)
        for name, mapping in policy.finance.severities.items()
    }
    least = min(levels[name] for name in rule.severities)
    return (
        least if set(rule.severities) == {name for name, level in levels.items() if level >= least} else None
    )


def _name_of(rule: AlertRule) -> tuple[Literal["tag", "attribute"], str]:
    if "security" in rule.on:
        return "tag", "security_event"
    if rule.on == ("compliance",):
        return "attribute", "message"  # it begins with the regulation
    return "attribute", "exception.type"


def _by_pattern(about: Literal["tag", "attribute"], key: str, pattern: str) -> Filter:
    bare = pattern.strip("*")
    if any(char in bare for char in "*?["):
        raise NotInSentryError(
            f"the pattern {pattern!r} has a * in the middle, which filters of Sentry have not"
        )
    starts, ends = pattern.endswith("*"), pattern.startswith("*")
    match: Match = "co" if starts and ends else "sw" if starts else "ew" if ends else "eq"
    if key == "message" and match == "eq":
        match = "sw"
    return Filter(about, key, match, bare)


def _negated(one: Filter) -> Filter:
    if one.match != "eq":
        raise NotInSentryError(
            f"an exception with a pattern ({one.value}) is nothing that filters of Sentry have"
        )
    return Filter(one.about, one.key, "ne", one.value)


def terms_of(rule: AlertRule) -> Terms:
    """Return the terms of a query that finds the events which the rule counts."""
    terms: Terms = []
    if rule.source != "mobile":
        terms.append(("financial_service", ["true"], False))
    if "security" not in rule.on:
        terms.append(("has:security_event", [], True))
    elif rule.on == ("security",):
        terms.append(("has:security_event", [], False))
    if rule.on == ("compliance",):
        terms.append(("error_category", ["compliance_issue"], False))
    lists: Mapping[str, tuple[str, ...]] = {
        "severity": rule.severities,
        "error_category": rule.categories,
        "financial_operation": rule.operations,
    }
    terms += [(key, list(values), False) for key, values in lists.items() if values]
    _, key = _name_of(rule)
    key = {"exception.type": "error.type"}.get(key, key)
    starts = key == "message"
    for names, negated in ((rule.names, False), (rule.except_names, True)):
        if names:
            terms.append(
                (key, [name if name.endswith("*") or not starts else f"{name}*" for name in names], negated)
            )
    if rule.unhandled:
        terms.append(("error.unhandled", ["true"], False))
    return terms
