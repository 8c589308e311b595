"""The content of a notification, redacted: the same for Slack, PagerDuty, e-mail and webhooks."""

from __future__ import annotations

import shlex
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any, Final

from mita_otel.alerts.alert import Action, Alert, AlertScope, NotificationRequest
from mita_otel.policy.alerts import AlertRule, Urgency
from mita_otel.redaction import Redactor

_MAX_TEXT: Final = 1000
"""Characters of one string."""
_ACKNOWLEDGEABLE: Final = frozenset({"trigger", "escalate"})
"""Actions about alerts that wait for an acknowledgement."""
_HEADINGS: Final[dict[Action, str]] = {
    "trigger": "",
    "escalate": "Still open: ",
    "acknowledge": "Acknowledged: ",
    "resolve": "Resolved: ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """A notification about an alert."""

    action: Action
    alert_id: str
    """The same in all notifications about an alert; receivers group by it."""
    rule: str
    subject: str
    title: str
    """One line."""
    reason: str
    """`3 events within 5 minutes`."""
    urgency: Urgency
    service: str
    environment: str
    at_ns: int
    """When the alert opened: nanoseconds since the epoch."""
    facts: tuple[tuple[str, str], ...] = ()
    """Further facts: labels and values."""
    is_test: bool = False
    """Whether it only tests a channel."""
    notified_ns: int = 0
    """When the notification was created, which distinguishes it from others about the alert: nanoseconds since the epoch."""
    acknowledge_command: str = ""
    """The command that acknowledges the alert; empty: it cannot be acknowledged."""

    @property
    def dedup_key(self) -> str:
        """The key by which receivers group notifications about the alert."""
        return f"mita-otel/{self.alert_id}"

    @property
    def at(self) -> datetime:
        """When the alert opened, UTC."""
        return datetime.fromtimestamp(self.at_ns / 1e9, UTC)

    @property
    def created(self) -> datetime:
        """When the notification was created, UTC."""
        return datetime.fromtimestamp((self.notified_ns or self.at_ns) / 1e9, UTC)

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return asdict(self)


def compose(
    alert: Alert,
    rule: AlertRule,
    request: NotificationRequest,
    scope: AlertScope,
    redactor: Redactor,
    now_ns: int,
    *,
    shared: bool,
) -> Notification:
    """Return the notification about an alert, redacted.

    Args:
        alert: The alert.
        rule: Its rule.
        request: The reason for the notification.
        scope: The service and environment.
        redactor: Redacts every string.
        now_ns: The current time.
        shared: Whether the alert is in the store, where commands can acknowledge it.
    """
    about = f": {alert.subject}" if alert.subject else ""
    notification = Notification(
        action=request.action,
        alert_id=alert.id,
        rule=alert.rule,
        subject=alert.subject,
        title=f"{_HEADINGS[request.action]}{rule.title}{about}",
        reason=f"{alert.reason}; {request.note}" if request.note else alert.reason,
        urgency=rule.urgency,
        service=scope.service,
        environment=scope.environment,
        at_ns=alert.opened_ns,
        facts=_facts(alert),
        notified_ns=now_ns,
        acknowledge_command=_command(alert, scope) if shared and request.action in _ACKNOWLEDGEABLE else "",
    )
    return redacted(notification, redactor)


def redacted(notification: Notification, redactor: Redactor) -> Notification:
    """Return the notification without secrets, in lengths that every receiver accepts."""

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
        acknowledge_command=safe(notification.acknowledge_command),
    )


def _fact(redactor: Redactor, label: str, text: str) -> str:
    # The label may mark the value as a secret.
    return str(redactor.value(label.lower().replace(" ", "_"), text))[:_MAX_TEXT]


def _command(alert: Alert, scope: AlertScope) -> str:
    return (
        f"mita-otel alerts ack {alert.id} -s {shlex.quote(scope.service)} -e {shlex.quote(scope.environment)}"
    )


def _facts(alert: Alert) -> tuple[tuple[str, str], ...]:
    exemplar = alert.exemplar
    if exemplar is None:
        return ()
    facts = (
        ("Last", exemplar.message if not exemplar.name else f"{exemplar.name}: {exemplar.message}"),
        ("Category", exemplar.category),
        ("Severity", exemplar.severity),
        ("Operation", exemplar.operation),
        ("Event", exemplar.event_id),
        ("Trace", exemplar.trace_id),
    )
    return tuple((label, text) for label, text in facts if text)


def _one_line(text: str) -> str:
    return " ".join(text.split())
