"""Webhooks: JSON to any URL, signed if a key is set."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any, Final

import httpx

from mita_otel._json import json_bytes
from mita_otel.alerts.channels.http_post import checked_url, post
from mita_otel.alerts.notification import Notification

SIGNATURE: Final = "X-Mita-Signature"
"""Header with `sha256=` and the hexadecimal HMAC-SHA256 of the body."""
_VERSION: Final = 1


class WebhookNotifier:
    """Posts JSON.

    Args:
        url: The URL; it may be a secret.
        client: Sends the requests.
        key: Key of the signature; empty: no signature.

    Raises:
        ConfigurationError: It is not an HTTP URL.
    """

    def __init__(self, url: str, client: httpx.Client, key: str = "") -> None:
        checked_url(url, who="webhook")
        self._url = url
        self._client = client
        self._key = key

    def send(self, notification: Notification) -> str:
        """Post the notification, and return the status of the response."""
        body = json_bytes(document(notification))
        headers = {
            "Idempotency-Key": f"{notification.dedup_key}/{notification.action}/{notification.notified_ns}"
        }
        if self._key:
            headers[SIGNATURE] = f"sha256={hmac.new(self._key.encode(), body, hashlib.sha256).hexdigest()}"
        return str(post(self._client, self._url, body, headers, who="webhook").status_code)

    def close(self) -> None:
        """Do nothing: `Channels` closes the client."""


def document(notification: Notification) -> dict[str, Any]:
    """Return the JSON document."""
    return {
        "version": _VERSION,
        "action": notification.action,
        "test": notification.is_test,
        "alert": {
            "id": notification.alert_id,
            "rule": notification.rule,
            "subject": notification.subject,
            "title": notification.title,
            "reason": notification.reason,
            "urgency": notification.urgency,
            "since": notification.at.isoformat(timespec="milliseconds"),
            "facts": dict(notification.facts),
        },
        "service": notification.service,
        "environment": notification.environment,
    }
