"""How an alert goes on: it begins, people are told, more people are told, somebody takes it, it is over. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from mita_otel.alerts.alert import Alert
from mita_otel.alerts.verdicts import Finding, span_of
from mita_otel.policy.alerts import AlertRule, EscalationStep

Action = Literal["trigger", "escalate", "acknowledge", "resolve"]
"""What people are told: it began; nobody has acknowledged it; somebody has; it is over."""

SECOND_NS: Final = 1_000_000_000
_MINUTE_NS: Final = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class Telling:
    """What is to be told, and where."""

    action: Action
    channels: tuple[str, ...]
    note: str = ""
    """What is said besides, as in `not acknowledged for 15 minutes`."""


@dataclass(frozen=True, slots=True)
class Course:
    """What a rule's alerts follow."""

    rule: AlertRule
    escalation: tuple[EscalationStep, ...]
    cool_down_s: float
    """Seconds between two messages that it began."""
    quiet_s: float
    """Seconds without a reason after which it is over."""


def found(before: Alert | None, finding: Finding, identity: tuple[str, str, str], now_ns: int) -> Alert:
    """Return the alert once a rule has found too much: a new one, one that goes on, or one that begins again.

    Args:
        before: The alert as it was; None: there was none.
        finding: What was found.
        identity: The alert's id, its rule and its subject.
        now_ns: The time.
    """
    if before is not None and before.open:
        return before.but(
            seen_ns=max(before.seen_ns, finding.at_ns),
            hits=finding.hits,
            reason=finding.reason,
            sample=finding.sample or before.sample,
        )
    alert_id, rule, subject = identity
    return Alert(
        id=alert_id,
        rule=rule,
        subject=subject,
        open=True,
        opened_ns=now_ns,
        seen_ns=finding.at_ns,
        hits=finding.hits,
        reason=finding.reason,
        sample=finding.sample,
        last_told_ns=before.last_told_ns if before is not None else 0,
    )


def advance(alert: Alert, course: Course, now_ns: int, *, silenced: bool) -> tuple[Alert, list[Telling]]:
    """Return how an alert goes on, and what is to be told of it now.

    Args:
        alert: The alert.
        course: What it follows.
        now_ns: The time.
        silenced: Whether nobody is to be told that it began, or goes on.
    """
    if not alert.open:
        return alert, []
    if now_ns - alert.seen_ns > course.quiet_s * SECOND_NS:
        over = alert.but(open=False, closed_ns=now_ns)
        return over, [Telling("resolve", alert.told)] if alert.told else []
    if not alert.told_ns:
        cooled = now_ns - alert.last_told_ns >= course.cool_down_s * SECOND_NS or not alert.last_told_ns
        if silenced or not cooled or alert.acknowledged_ns:
            return alert, []
        channels = course.rule.channels
        told = alert.but(told_ns=now_ns, last_told_ns=now_ns, told=channels)
        return told, [Telling("trigger", channels)] if channels else []
    if alert.acknowledged_ns:
        if alert.acknowledgement_told:
            return alert, []
        note = f"by {alert.acknowledged_by}" if alert.acknowledged_by else ""
        return alert.but(acknowledgement_told=True), [Telling("acknowledge", alert.told, note)]
    return _escalate(alert, course, now_ns, silenced)


def _escalate(alert: Alert, course: Course, now_ns: int, silenced: bool) -> tuple[Alert, list[Telling]]:
    due = [
        step
        for step in course.escalation[alert.steps :]
        if now_ns - alert.told_ns >= step.after_minutes * _MINUTE_NS
    ]
    if silenced or not due:
        return alert, []
    channels = tuple(dict.fromkeys(channel for step in due for channel in step.channels))
    note = f"not acknowledged for {span_of(due[-1].after_minutes * 60)}"
    escalated = alert.but(steps=alert.steps + len(due), told=tuple(dict.fromkeys([*alert.told, *channels])))
    return escalated, [Telling("escalate", channels, note)] if channels else []
