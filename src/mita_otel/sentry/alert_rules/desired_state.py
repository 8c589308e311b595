"""The alert rules that one Sentry project should have, according to the policy.

Sentry supports only some rules. A note names each of the others; this library evaluates those alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from mita_otel.policy import Policy
from mita_otel.policy.alerts import AlertRule
from mita_otel.policy.channels import ChannelKind
from mita_otel.sentry.alert_rules.filters import (
    EventFilter,
    UnsupportedInSentryError,
    filter_groups,
    search_query,
)

FREQUENCIES: Final = (0, 5, 10, 30, 60, 180, 720, 1440)
"""Minutes between two notifications that Sentry accepts."""
WINDOWS: Final = (60, 300, 600, 900, 1800, 3600, 7200, 14_400, 86_400)
"""Seconds of a window that Sentry accepts."""
_MAX_NAME: Final = 200

ProjectRole = Literal["backend", "mobile", "both"]
"""Rules that a project gets: the service's, the app's, or both where they share one project."""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Fires on a single event."""

    groups: tuple[tuple[EventFilter, ...], ...]
    """An event must pass every filter of one group. No event passes two groups."""


@dataclass(frozen=True, slots=True)
class MetricTrigger:
    """Fires when a metric exceeds a threshold."""

    aggregate: str
    dataset: Literal["errors", "spans"]
    query: str
    window_s: int
    above: float
    high: bool
    """Whether the issue gets high priority."""


@dataclass(frozen=True, slots=True)
class NotificationTarget:
    """A recipient, by the name that the policy uses."""

    kind: ChannelKind
    name: str
    """The Slack channel, the PagerDuty service or the team."""


@dataclass(frozen=True, slots=True)
class AlertSpec:
    """A rule in terms of Sentry's features."""

    rule: str
    name: str
    """Name in Sentry, by which the alert is found again."""
    environment: str
    trigger: EventTrigger | MetricTrigger
    targets: tuple[NotificationTarget, ...]
    frequency_min: int
    description: str


@dataclass(frozen=True)
class DesiredState:
    """Everything that one project should have."""

    prefix: str
    """Prefix of the names of all our alerts of this project and environment."""
    alerts: list[AlertSpec] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """What Sentry does not support, and what happens instead."""


def desired_state(
    policy: Policy, *, environment: str, project: str, role: ProjectRole = "backend"
) -> DesiredState:
    """Return the alert rules that a project should have.

    Args:
        policy: The rules.
        environment: Name of the environment.
        project: Slug of the project. Alerts of all projects share one list in Sentry.
        role: Which rules the project gets.
    """
    state = DesiredState(f"{policy.alerts.sentry.prefix} {project}/{environment}: ")
    if policy.alerts.start == "off":
        state.notes.append(f'alerts.start is "off" in {environment}: the project gets no rules')
        return state
    for name, rule in policy.alerts.rules.items():
        if not rule.is_sentrys or role not in ("both", rule.project):
            continue
        try:
            trigger = _trigger(policy, rule)
        except UnsupportedInSentryError as error:
            state.notes.append(f"{name}: {error}; only this library evaluates the rule")
            continue
        targets, notes = _targets(policy, rule)
        if isinstance(trigger, MetricTrigger) and trigger.window_s != rule.window_s:
            notes.append(f"Sentry's window is {trigger.window_s} seconds, not {rule.window_s}")
        state.notes.extend(f"{name}: {note}" for note in notes)
        state.alerts.append(
            AlertSpec(
                rule=name,
                name=f"{state.prefix}{rule.title}"[:_MAX_NAME],
                environment=environment,
                trigger=trigger,
                targets=targets,
                frequency_min=_frequency_min(policy, rule),
                description=f"Created from rule {name} of the mita-otel policy. Change it there.",
            )
        )
    escalated = [one.rule for one in state.alerts if policy.alerts.rules[one.rule].escalation]
    if escalated:
        state.notes.append(
            f"Sentry has no escalation ({', '.join(escalated)}): use PagerDuty's escalation policy or this library's"
        )
    return state


def _targets(policy: Policy, rule: AlertRule) -> tuple[tuple[NotificationTarget, ...], list[str]]:
    targets: dict[NotificationTarget, None] = {}
    notes: list[str] = []
    for name in rule.channels:
        channel = policy.alerts.channels[name]
        if channel.kind not in {"slack", "pagerduty", "email"}:
            notes.append(f"Sentry cannot notify {name} ({channel.kind}); this library does")
        elif not channel.sentry:
            notes.append(f"Sentry cannot notify {name}: alerts.channels.{name}.sentry names no recipient")
        else:
            targets[NotificationTarget(channel.kind, channel.sentry)] = None
    return tuple(targets), notes


def _frequency_min(policy: Policy, rule: AlertRule) -> int:
    """Return Sentry's pause nearest below the cool-down: one notification too many beats one too few."""
    cool_down_s = policy.alerts.cool_down_s if rule.cool_down_s is None else rule.cool_down_s
    return max(one for one in FREQUENCIES if one * 60 <= cool_down_s)


def _trigger(policy: Policy, rule: AlertRule) -> EventTrigger | MetricTrigger:
    if rule.on == ("failures",):
        return _failure_rate(rule)
    if not rule.is_counted:
        raise UnsupportedInSentryError(f"Sentry has no rules on {rule.on[0]}")
    if "breaches" in rule.on:
        raise UnsupportedInSentryError("Sentry does not count exceeded limits")
    if (rule.count or 1) == 1:
        return EventTrigger(tuple(filter_groups(policy, rule)))
    return MetricTrigger(
        aggregate="count()",
        dataset="errors",
        query=search_query(rule),
        window_s=_window_s(rule),
        # Sentry fires above the threshold, the policy's count includes it.
        above=(rule.count or 1) - 1,
        high=rule.urgency in {"critical", "error"},
    )


def _failure_rate(rule: AlertRule) -> MetricTrigger:
    if rule.kinds != ("api",) or rule.above is None:
        raise UnsupportedInSentryError("of failures, Sentry only supports the rate of failed requests")
    # `failure_rate()` counts requests with status 401, 404 or 422 as failures. They are answers, so the rule does not.
    return MetricTrigger(
        aggregate="http_response_rate(5)",
        dataset="spans",
        query="is_transaction:true span.op:http.server",
        window_s=_window_s(rule),
        above=rule.above,
        high=rule.urgency in {"critical", "error"},
    )


def _window_s(rule: AlertRule) -> int:
    """Return Sentry's window nearest above the rule's."""
    for window_s in WINDOWS:
        if window_s >= rule.window_s:
            return window_s
    raise UnsupportedInSentryError(f"Sentry's longest window is {WINDOWS[-1]} seconds")
