"""What the policy wants of Sentry, in terms of neither of its APIs.

Sentry cannot do everything that rules can: what it cannot is said, and left to the engine of this library.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertRule
from mita_otel.policy.channels import ChannelKind
from mita_otel.sentry.alert_rules.filters import Filter, NotInSentryError, groups_of, terms_of
from mita_otel.sentry.alert_rules.search import query_of

FREQUENCIES: Final = (0, 5, 10, 30, 60, 180, 720, 1440)
"""Minutes between two messages that Sentry knows."""
WINDOWS: Final = (60, 300, 600, 900, 1800, 3600, 7200, 14_400, 86_400)
"""Seconds of a window that Sentry knows."""
_MAX_NAME: Final = 200


Whose = Literal["backend", "mobile", "both"]
"""Whose rules a project has: the service's, the app's, or both where they share one."""


@dataclass(frozen=True, slots=True)
class OnEvent:
    """One event is enough."""

    groups: tuple[tuple[Filter, ...], ...]
    """Of one group all filters must be true. No event is in two groups."""


@dataclass(frozen=True, slots=True)
class OnMetric:
    """A number is above another one."""

    aggregate: str
    dataset: Literal["errors", "spans"]
    query: str
    window_s: int
    above: float
    high: bool
    """Whether it is urgent."""


@dataclass(frozen=True, slots=True)
class Target:
    """Whom an alert tells."""

    kind: ChannelKind
    name: str
    """The Slack channel, the PagerDuty service, the team."""


@dataclass(frozen=True, slots=True)
class WantedAlert:
    """A rule as Sentry shall have it."""

    rule: str
    name: str
    """What it is called in Sentry; also what it is found by."""
    environment: str
    trigger: OnEvent | OnMetric
    targets: tuple[Target, ...]
    frequency_min: int
    description: str


@dataclass(frozen=True)
class Wanted:
    """Everything that one project shall have."""

    prefix: str
    """What all names of ours begin with, of this project and environment."""
    alerts: list[WantedAlert] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What Sentry cannot do, and what is done instead."""


def wanted_of(policy: Policy, *, environment: str, project: str, which: Whose = "backend") -> Wanted:
    """Return what the policy wants of a project.

    Args:
        policy: The rules.
        environment: The environment's name.
        project: The project's slug: alerts of several projects share one list.
        which: Whose rules.
    """
    found = Wanted(f"{policy.alerts.sentry.prefix} {project}/{environment}: ")
    for name, rule in policy.alerts.rules.items():
        if not rule.is_sentrys or which not in ("both", rule.project):
            continue
        try:
            trigger = _trigger(policy, rule)
        except NotInSentryError as error:
            found.notes.append(f"{name}: {error}; it is watched by this library alone")
            continue
        targets, notes = _targets(policy, rule)
        if isinstance(trigger, OnMetric) and trigger.window_s != rule.window_s:
            notes.append(f"Sentry looks back on {trigger.window_s} seconds, not on {rule.window_s}")
        found.notes.extend(f"{name}: {note}" for note in notes)
        found.alerts.append(
            WantedAlert(
                rule=name,
                name=f"{found.prefix}{rule.title}"[:_MAX_NAME],
                environment=environment,
                trigger=trigger,
                targets=targets,
                frequency_min=_frequency(policy, rule),
                description=f"Made from the policy of mita-otel, rule {name}. Change it there.",
            )
        )
    escalated = [one.rule for one in found.alerts if policy.alerts.rules[one.rule].escalation]
    if escalated:
        found.notes.append(
            f"Sentry has no escalation ({', '.join(escalated)}): let PagerDuty's service escalate, or this library"
        )
    return found


def _targets(policy: Policy, rule: AlertRule) -> tuple[tuple[Target, ...], list[str]]:
    targets: dict[Target, None] = {}
    notes: list[str] = []
    for name in rule.channels:
        channel = policy.alerts.channels[name]
        if channel.kind not in {"slack", "pagerduty", "email"}:
            notes.append(f"Sentry cannot send to {name} ({channel.kind}); this library does")
        elif not channel.sentry:
            notes.append(f"alerts.channels.{name}.sentry is empty: Sentry does not know whom to tell")
        else:
            targets[Target(channel.kind, channel.sentry)] = None
    return tuple(targets), notes


def _frequency(policy: Policy, rule: AlertRule) -> int:
    """Return Sentry's pause nearest below the cool-down: a message too many is better than one too few."""
    cool_down_s = policy.alerts.cool_down_s if rule.cool_down_s is None else rule.cool_down_s
    return max(one for one in FREQUENCIES if one * 60 <= cool_down_s)


def _trigger(policy: Policy, rule: AlertRule) -> OnEvent | OnMetric:
    if rule.on == ("failures",):
        return _on_failures(rule)
    if not rule.is_counted:
        raise NotInSentryError(f"Sentry has nothing like {rule.on[0]}")
    if "breaches" in rule.on:
        raise NotInSentryError("Sentry does not count broken limits")
    if (rule.count or 1) == 1:
        return OnEvent(tuple(groups_of(policy, rule)))
    return OnMetric(
        aggregate="count()",
        dataset="errors",
        query=query_of(terms_of(rule)),
        window_s=_window(rule),
        # Sentry alerts above the number, not from it on.
        above=(rule.count or 1) - 1,
        high=rule.urgency in {"critical", "error"},
    )


def _on_failures(rule: AlertRule) -> OnMetric:
    if rule.kinds != ("api",) or rule.above is None:
        raise NotInSentryError("of failures Sentry knows the share of failed requests")
    return OnMetric(
        aggregate="failure_rate()",
        dataset="spans",
        query="is_transaction:true",
        window_s=_window(rule),
        above=rule.above,
        high=rule.urgency in {"critical", "error"},
    )


def _window(rule: AlertRule) -> int:
    """Return Sentry's window nearest above the rule's."""
    for window_s in WINDOWS:
        if window_s >= rule.window_s:
            return window_s
    raise NotInSentryError(f"Sentry looks back on {WINDOWS[-1]} seconds at most")
