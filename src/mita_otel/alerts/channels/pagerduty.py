"""PagerDuty: the Events API v2, trigger, acknowledge and resolve; and change events, for releases.

Source: PagerDuty's published OpenAPI of the Events API v2. (The package `pagerduty` retries a 429 for ever, and blocks
meanwhile: what is used here is one POST.)
"""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from mita_otel._json import json_bytes
from mita_otel.alerts.channels.notifier import RefusedError
from mita_otel.alerts.channels.posting import post
from mita_otel.alerts.notification import Notification
from mita_otel.errors import ConfigurationError

_LENGTH: Final = 32
_ROUTING_KEY: Final = re.compile(rf"[0-9A-Za-z]{{{_LENGTH}}}\Z")
_MAX_SUMMARY: Final = 1024
_MAX_DEDUP_KEY: Final = 255
_ACTIONS: Final = {
    "trigger": "trigger",
    "escalate": "trigger",
    "acknowledge": "acknowledge",
    "resolve": "resolve",
}


class PagerDutyNotifier:
    """Enqueues events.

    Args:
        routing_key: The integration key of a service with an Events API v2 integration: a secret.
        url: `https://events.pagerduty.com/v2/enqueue`, or the one of another region.
        client: Makes the requests.

    Raises:
        ConfigurationError: It is no integration key.
    """

    def __init__(self, routing_key: str, url: str, client: httpx.Client) -> None:
        if not _ROUTING_KEY.match(routing_key):
            found = f"it has {len(routing_key)}" if len(routing_key) != _LENGTH else "it has others"
            raise ConfigurationError(
                f"PagerDuty: the key is not an integration key of {_LENGTH} letters and digits, {found}; take the one of "
                'the service\'s "Events API V2" integration'
            )
        self._routing_key = routing_key
        self._url = url
        self._client = client

    def send(self, notification: Notification) -> str:
        """Enqueue the event, and return its `dedup_key`."""
        body = json_bytes({"routing_key": self._routing_key, **event(notification)})
        answer = post(self._client, self._url, body, who="PagerDuty")
        try:
            said = answer.json()
        except ValueError:
            said = None
        if answer.status_code != 202 or not isinstance(said, dict):
            raise RefusedError(
                f"PagerDuty: answered {answer.status_code}, not 202; is {self._url} its address?"
            )
        return str(said.get("dedup_key") or notification.dedup_key)

    def close(self) -> None:
        """Do nothing: the client is not ours."""


def event(notification: Notification) -> dict[str, Any]:
    """Return the event without its routing key."""
    action = _ACTIONS[notification.action]
    shown: dict[str, Any] = {"event_action": action, "dedup_key": notification.dedup_key[:_MAX_DEDUP_KEY]}
    if action == "trigger":
        test = "Test: " if notification.is_test else ""
        summary = f"{test}[{notification.environment}] {notification.title}: {notification.reason}"
        shown["client"] = "mita-otel"
        shown["payload"] = {
            "summary": summary[:_MAX_SUMMARY],
            "severity": notification.urgency,
            "source": notification.service or "mita-otel",
            "timestamp": notification.at.isoformat(timespec="milliseconds"),
            "component": notification.service,
            "group": notification.environment,
            "class": notification.rule,
            "custom_details": {
                **dict(notification.facts),
                "Reason": notification.reason,
                **({"Acknowledge": notification.acknowledging} if notification.acknowledging else {}),
            },
        }
    return shown
