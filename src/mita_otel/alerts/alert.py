"""An alert, the service that it belongs to, and silences."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

from mita_otel.alerts.conditions import SECOND_NS, ConditionMet, duration_words
from mita_otel.alerts.events import Exemplar, matches_any
from mita_otel.policy.alerts import AlertRule, EscalationStep

_ID_CHARACTERS: Final = 16


@dataclass(frozen=True, slots=True)
class AlertScope:
    """A service in an environment: all its workers share their alerts."""

    service: str
    environment: str

    @property
    def key(self) -> str:
        """The key in the store."""
        return f"{self.service}/{self.environment}"

    def alert_id(self, rule: str, subject: str) -> str:
        """Return the id of a rule's alert about a subject. It never changes."""
        text = "\x1f".join((self.service, self.environment, rule, subject))
        return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:_ID_CHARACTERS]


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """The state of a rule's alert about a subject. Times are nanoseconds since the epoch; 0 means never."""

    id: str
    rule: str
    subject: str
    open: bool
    opened_ns: int
    seen_ns: int
    """When the rule's condition was last met."""
    hits: int
    """Events, or spans that failed or exceeded a limit, when the condition was last met."""
    reason: str
    """For people: `3 events within 5 minutes`."""
    closed_ns: int = 0
    notified_ns: int = 0
    """When people were notified that it opened; 0: not yet, because of a silence or a cool-down."""
    last_notified_ns: int = 0
    """When people were last notified that this alert, or an earlier one of the same id, opened."""
    notified: tuple[str, ...] = ()
    """Channels that were notified."""
    steps: int = 0
    """Escalation steps taken so far."""
    acknowledged_ns: int = 0
    acknowledged_by: str = ""
    acknowledgement_notified: bool = False
    exemplar: Exemplar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Silence:
    """Suppresses notifications of matching alerts for a time. Times are nanoseconds since the epoch."""

    id: str
    rule: str
    """Name of the rule; `*` matches anything."""
    subject: str
    """Subject of the alert; `*` matches anything."""
    from_ns: int
    until_ns: int
    by: str
    """Who created it."""
    why: str

    def covers(self, rule: str, subject: str, now_ns: int) -> bool:
        """Return whether it applies to an alert now."""
        return (
            self.from_ns <= now_ns < self.until_ns
            and matches_any(rule, [self.rule])
            and matches_any(subject, [self.subject])
        )


def is_silenced(silences: Iterable[Silence], rule: str, subject: str, now_ns: int) -> bool:
    """Return whether a silence applies to an alert now."""
    return any(one.covers(rule, subject, now_ns) for one in silences)


Action = Literal["trigger", "escalate", "acknowledge", "resolve"]
"""Reason of a notification: the alert opened, was not acknowledged in time, was acknowledged, closed."""

_MINUTE_NS: Final = 60 * SECOND_NS


@dataclass(frozen=True, slots=True)
class NotificationRequest:
    """A notification to send."""

    action: Action
    channels: tuple[str, ...]
    note: str = ""
    """Addition to the reason: `not acknowledged for 15 minutes`."""


@dataclass(frozen=True, slots=True)
class LifecycleSettings:
    """A rule, and the times of its alerts."""

    rule: AlertRule
    escalation: tuple[EscalationStep, ...]
    cool_down_s: float
    """Minimum seconds between two notifications that the alert opened."""
    quiet_s: float
    """The alert closes when the condition was not met for so many seconds."""


def open_or_update(
    before: Alert | None, met: ConditionMet, identity: tuple[str, str, str], now_ns: int
) -> Alert:
    """Return the alert after its rule's condition was met.

    Args:
        before: The alert as it was. None: it did not exist.
        met: The condition.
        identity: Id, rule and subject of the alert.
        now_ns: The current time.
    """
    if before is not None and before.open:
        return replace(
            before,
            seen_ns=max(before.seen_ns, met.at_ns),
            hits=met.hits,
            reason=met.reason,
            exemplar=met.exemplar or before.exemplar,
        )
    alert_id, rule, subject = identity
    return Alert(
        id=alert_id,
        rule=rule,
        subject=subject,
        open=True,
        opened_ns=now_ns,
        seen_ns=met.at_ns,
        hits=met.hits,
        reason=met.reason,
        exemplar=met.exemplar,
        last_notified_ns=before.last_notified_ns if before is not None else 0,
    )


def advance(
    alert: Alert, settings: LifecycleSettings, now_ns: int, *, silenced: bool
) -> tuple[Alert, list[NotificationRequest]]:
    """Return the alert's next state, and the notifications to send now.

    Args:
        alert: The alert.
        settings: Its rule and times.
        now_ns: The current time.
        silenced: Whether a silence suppresses notifications. It does not suppress the one that the alert closed.
    """
    if not alert.open:
        return alert, []
    if now_ns - alert.seen_ns > settings.quiet_s * SECOND_NS:
        closed = replace(alert, open=False, closed_ns=now_ns)
        return closed, [NotificationRequest("resolve", alert.notified)] if alert.notified else []
    if not alert.notified_ns:
        since_last_ns = now_ns - alert.last_notified_ns
        cooled_down = not alert.last_notified_ns or since_last_ns >= settings.cool_down_s * SECOND_NS
        if silenced or not cooled_down or alert.acknowledged_ns:
            return alert, []
        channels = settings.rule.channels
        notified = replace(alert, notified_ns=now_ns, last_notified_ns=now_ns, notified=channels)
        return notified, [NotificationRequest("trigger", channels)] if channels else []
    if alert.acknowledged_ns:
        if alert.acknowledgement_notified:
            return alert, []
        note = f"by {alert.acknowledged_by}" if alert.acknowledged_by else ""
        request = NotificationRequest("acknowledge", alert.notified, note)
        return replace(alert, acknowledgement_notified=True), [request]
    return _escalate(alert, settings, now_ns, silenced)


def _escalate(
    alert: Alert, settings: LifecycleSettings, now_ns: int, silenced: bool
) -> tuple[Alert, list[NotificationRequest]]:
    due = [
        step
        for step in settings.escalation[alert.steps :]
        if now_ns - alert.notified_ns >= step.after_minutes * _MINUTE_NS
    ]
    if silenced or not due:
        return alert, []
    channels = tuple(dict.fromkeys(channel for step in due for channel in step.channels))
    note = f"not acknowledged for {duration_words(due[-1].after_minutes * 60)}"
    escalated = replace(
        alert,
        steps=alert.steps + len(due),
        notified=tuple(dict.fromkeys([*alert.notified, *channels])),
    )
    return escalated, [NotificationRequest("escalate", channels, note)] if channels else []
