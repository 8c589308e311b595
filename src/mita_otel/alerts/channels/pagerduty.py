"""PagerDuty's Events API v2: trigger, acknowledge and resolve.

Source: PagerDuty's published OpenAPI of the Events API v2. The package `pagerduty` is not used, because it retries a 429
forever and blocks meanwhile.
"""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from mita_otel._json import json_bytes
from mita_otel.alerts.channels.http_post import post
from mita_otel.alerts.channels.notifier import RefusedError
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
    """Sends events.

    Args:
        routing_key: The integration key of a service with an Events API v2 integration: a secret.
        url: `https://events.pagerduty.com/v2/enqueue`, or the one of another region.
        client: Sends the requests.

    Raises:
        ConfigurationError: It is not an integration key.
    """

    def __init__(self, routing_key: str, url: str, client: httpx.Client) -> None:
        if not _ROUTING_KEY.match(routing_key):
            found = f"it has {len(routing_key)}" if len(routing_key) != _LENGTH else "it has other characters"
            raise ConfigurationError(
                f"PagerDuty: the key is not an integration key of {_LENGTH} letters and digits, {found}; copy it from "
                'the service\'s "Events API V2" integration'
            )
        self._routing_key = routing_key
        self._url = url
        self._client = client

    def send(self, notification: Notification) -> str:
        """Send the event, and return its `dedup_key`."""
        body = json_bytes({"routing_key": self._routing_key, **event(notification)})
        response = post(self._client, self._url, body, who="PagerDuty")
        try:
            body_of_response = response.json()
        except ValueError:
            body_of_response = None
        if response.status_code != 202 or not isinstance(body_of_response, dict):
            raise RefusedError(
                f"PagerDuty: answered {response.status_code}, not 202; check alerts.delivery.pagerduty_url ({self._url})"
            )
        return str(body_of_response.get("dedup_key") or notification.dedup_key)

    def close(self) -> None:
        """Do nothing: `Channels` closes the client."""


def event(notification: Notification) -> dict[str, Any]:
    """Return the event without its routing key."""
    action = _ACTIONS[notification.action]
    fields: dict[str, Any] = {"event_action": action, "dedup_key": notification.dedup_key[:_MAX_DEDUP_KEY]}
    if action == "trigger":
        test = "Test: " if notification.is_test else ""
        summary = f"{test}[{notification.environment}] {notification.title}: {notification.reason}"
        fields["client"] = "mita-otel"
        fields["payload"] = {
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
                **(
                    {"Acknowledge": notification.acknowledge_command}
                    if notification.acknowledge_command
                    else {}
                ),
            },
        }
    return fields
