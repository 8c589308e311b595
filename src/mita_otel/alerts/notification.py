"""What a person reads of an alert: the same content for Slack, PagerDuty, e-mail and webhooks, redacted."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from mita_otel.alerts.alert import Alert, Scope
from mita_otel.alerts.transition import Action, Telling
from mita_otel.policy.alerts import AlertRule, Urgency
from mita_otel.redaction import Redactor

_MAX_TEXT: Final = 1000
"""Characters of one text."""
_OPEN: Final = frozenset({"trigger", "escalate"})
"""What is told of an alert that waits for somebody."""
_HEADINGS: Final[dict[Action, str]] = {
    "trigger": "",
    "escalate": "Still open: ",
    "acknowledge": "Acknowledged: ",
    "resolve": "Over: ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A message to a person."""

    action: Action
    alert_id: str
    """The same in all messages about an alert: what they are grouped by."""
    rule: str
    subject: str
    title: str
    """One line."""
    reason: str
    """Why: `3 events within 5 minutes`."""
    urgency: Urgency
    service: str
    environment: str
    at_ns: int
    """When the alert began: nanoseconds since the epoch."""
    facts: tuple[tuple[str, str], ...] = ()
    """What else is known: labels and texts."""
    is_test: bool = False
    """Whether somebody only tries out a channel."""
    told_ns: int = 0
    """When this was written, which tells it from other messages about the alert: nanoseconds since the epoch."""
    acknowledging: str = ""
    """The command that acknowledges the alert; empty: nothing can be acknowledged."""

    @property
    def dedup_key(self) -> str:
        """What a receiver groups messages about the alert by."""
        return f"mita-otel/{self.alert_id}"

    @property
    def at(self) -> datetime:
        """When the alert began, UTC."""
        return datetime.fromtimestamp(self.at_ns / 1e9, UTC)

    @property
    def told(self) -> datetime:
        """When this was written, UTC."""
        return datetime.fromtimestamp((self.told_ns or self.at_ns) / 1e9, UTC)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values."""
        return asdict(self)


def compose(
    alert: Alert,
    rule: AlertRule,
    telling: Telling,
    scope: Scope,
    redactor: Redactor,
    now_ns: int,
    *,
    shared: bool,
) -> Notification:
    """Return what is to be told of an alert.

    Args:
        alert: The alert.
        rule: Its rule.
        telling: What is to be told, and to whom.
        scope: Whose alert it is.
        redactor: What every text passes.
        now_ns: The time.
        shared: Whether it is kept where the command line finds it.
    """
    about = f": {alert.subject}" if alert.subject else ""
    notification = Notification(
        action=telling.action,
        alert_id=alert.id,
        rule=alert.rule,
        subject=alert.subject,
        title=f"{_HEADINGS[telling.action]}{rule.title}{about}",
        reason=f"{alert.reason}; {telling.note}" if telling.note else alert.reason,
        urgency=rule.urgency,
        service=scope.service,
        environment=scope.environment,
        at_ns=alert.opened_ns,
        facts=_facts(alert),
        told_ns=now_ns,
        acknowledging=_command(alert, scope) if shared and telling.action in _OPEN else "",
    )
    return redacted(notification, redactor)


def redacted(notification: Notification, redactor: Redactor) -> Notification:
    """Return the notification without the secrets in it, in lengths that every receiver takes."""

    def safe(text: str) -> str:
        return redactor.text(text)[:_MAX_TEXT]

    return replace(
        notification,
        subject=_one_line(safe(notification.subject)),
        title=_one_line(safe(notification.title)),
        reason=_one_line(safe(notification.reason)),
        service=_one_line(safe(notification.service)),
        environment=_one_line(safe(notification.environment)),
        facts=tuple((label, _fact(redactor, label, text)) for label, text in notification.facts),
        acknowledging=safe(notification.acknowledging),
    )


def _fact(redactor: Redactor, label: str, text: str) -> str:
    # The label as well as the text may say that it is a secret.
    return str(redactor.value(label.lower().replace(" ", "_"), text))[:_MAX_TEXT]


def _command(alert: Alert, scope: Scope) -> str:
    return (
        f"mita-otel alerts ack {alert.id} -s {shlex.quote(scope.service)} -e {shlex.quote(scope.environment)}"
    )


def _facts(alert: Alert) -> tuple[tuple[str, str], ...]:
    sample = alert.sample
    if sample is None:
        return ()
    found = (
        ("Last", sample.message if not sample.name else f"{sample.name}: {sample.message}"),
        ("Category", sample.category),
        ("Severity", sample.severity),
        ("Operation", sample.operation),
        ("Event", sample.event_id),
        ("Trace", sample.trace_id),
    )
    return tuple((label, text) for label, text in found if text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
