"""Slack's incoming webhooks. A webhook belongs to one Slack channel.

Source: Slack's documentation of incoming webhooks and Block Kit. The package slack-sdk is not used: its `WebhookClient`
would send one POST, and retries and rate limits belong to the dispatcher.
"""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from mita_otel._json import json_bytes
from mita_otel.alerts.channels.http_post import body_line, checked_url, post
from mita_otel.alerts.channels.notifier import RefusedError
from mita_otel.alerts.notification import Notification
from mita_otel.errors import ConfigurationError

_HOSTS: Final = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
"""Slack's hosts. URLs of compatible services are not checked further."""
_PATH: Final = re.compile(r"/(?:services(?:/[0-9A-Za-z_-]+){3}|(?:workflows|triggers)/.+)\Z")
_MAX_HEADER: Final = 150
_MAX_SECTION: Final = 3000
_MAX_FIELD: Final = 2000
_MAX_FIELDS: Final = 10
_ICONS: Final = {
    "critical": ":rotating_light:",
    "error": ":red_circle:",
    "warning": ":warning:",
    "info": ":information_source:",
}
_FIXES: Final = {
    "no_service": "the webhook was disabled or removed; create another",
    "no_active_hooks": "the webhook was disabled; create another",
    "invalid_token": "the URL is incomplete or the webhook was removed; copy it again",
    "no_team": "the workspace was deleted; create a webhook in another",
    "channel_not_found": "the channel was deleted; create a webhook for another",
    "channel_is_archived": "the channel is archived; create a webhook for another",
    "action_prohibited": "an administrator forbids it",
    "posting_to_general_channel_denied": "an administrator forbids it; create a webhook for another channel",
}
"""Fixes by the error that Slack returns."""


class SlackNotifier:
    """Posts to an incoming webhook.

    Args:
        url: The webhook's URL: a secret.
        client: Sends the requests.

    Raises:
        ConfigurationError: It is not the complete URL of a webhook.
    """

    def __init__(self, url: str, client: httpx.Client) -> None:
        parsed = checked_url(url, who="Slack")
        if parsed.host in _HOSTS and (parsed.scheme != "https" or not _PATH.match(parsed.path)):
            raise ConfigurationError(
                "Slack: the URL is not that of an incoming webhook; copy it completely from the Slack app's page Incoming "
                f"Webhooks, it looks like https://{parsed.host}/services/T.../B.../..."
            )
        self._url = url
        self._client = client

    def send(self, notification: Notification) -> str:
        """Post the notification. Slack answers `ok`, or an error such as `invalid_blocks` or `channel_not_found`."""
        try:
            response = post(self._client, self._url, json_bytes(payload(notification)), who="Slack")
        except RefusedError as error:
            fix = _FIXES.get(str(error).rpartition(" ")[2])
            raise (RefusedError(f"{error}: {fix}") if fix else error) from error
        if response.text.strip() != "ok":
            raise RefusedError(
                f"Slack: answered {response.status_code} {body_line(response)}; check that the URL is an incoming webhook's"
            )
        return "ok"

    def close(self) -> None:
        """Do nothing: `Channels` closes the client."""


def payload(notification: Notification) -> dict[str, Any]:
    """Return the JSON document: a text for push notifications, and blocks for the channel."""
    icon = ":white_check_mark:" if notification.action == "resolve" else _ICONS[notification.urgency]
    test = "Test: " if notification.is_test else ""
    title = f"{test}{notification.title}"
    blocks: list[dict[str, Any]] = [
        {
            "type": "header",
            "text": {"type": "plain_text", "text": _cut(f"{icon} {title}", _MAX_HEADER), "emoji": True},
        },
        _section(f"*{escape(notification.reason)}*"),
    ]
    fields = [f"*{escape(label)}*\n{escape(text)}" for label, text in notification.facts]
    if fields:
        blocks.append(
            {
                "type": "section",
                "fields": [{"type": "mrkdwn", "text": _cut(one, _MAX_FIELD)} for one in fields[:_MAX_FIELDS]],
            }
        )
    where = (
        f"{notification.service} · {notification.environment} · since {notification.at:%Y-%m-%d %H:%M:%S} UTC"
    )
    context = escape(where)
    if notification.acknowledge_command:
        context += f" · `{escape(notification.acknowledge_command)}`"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(context, _MAX_SECTION)}]})
    return {"text": escape(f"{title}: {notification.reason}"), "blocks": blocks}


def escape(text: str) -> str:
    """Return the text for Slack's mrkdwn, without links and mentions."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _MAX_SECTION)}}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
