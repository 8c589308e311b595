"""Slack: an incoming webhook. One webhook is one channel.

Source: Slack's documentation of incoming webhooks and Block Kit. Of what slack-sdk's `WebhookClient` does, one POST would
be used here; retries and rate limits are the courier's.
"""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from mita_otel._json import json_bytes
from mita_otel.alerts.channels.notifier import RefusedError
from mita_otel.alerts.channels.posting import checked_url, post, said
from mita_otel.alerts.notification import Notification
from mita_otel.errors import ConfigurationError

_HOSTS: Final = frozenset({"hooks.slack.com", "hooks.slack-gov.com"})
"""Slack's own; whatever else is compatible may have its URLs as it likes."""
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
_MENDS: Final = {
    "no_service": "the webhook was switched off or removed; make another",
    "no_active_hooks": "the webhook was switched off; make another",
    "invalid_token": "the URL is not whole, or the webhook is gone; copy it again",
    "no_team": "the workspace is gone; make a webhook in another",
    "channel_not_found": "its channel is gone; make a webhook for another",
    "channel_is_archived": "its channel is archived; make a webhook for another",
    "action_prohibited": "an administrator forbids it",
    "posting_to_general_channel_denied": "an administrator forbids it; make a webhook for another channel",
}
"""What to do, by the word that Slack answers."""


class SlackNotifier:
    """Posts to an incoming webhook.

    Args:
        url: The webhook's URL: a secret.
        client: Makes the requests.

    Raises:
        ConfigurationError: It is no webhook's URL, or not whole.
    """

    def __init__(self, url: str, client: httpx.Client) -> None:
        parsed = checked_url(url, who="Slack")
        if parsed.host in _HOSTS and (parsed.scheme != "https" or not _PATH.match(parsed.path)):
            raise ConfigurationError(
                "Slack: the URL is not that of an incoming webhook; copy it whole from the Slack app's page Incoming "
                f"Webhooks, it reads like https://{parsed.host}/services/T.../B.../..."
            )
        self._url = url
        self._client = client

    def send(self, notification: Notification) -> str:
        """Post the message. Slack answers `ok`, or a word: `invalid_blocks`, `channel_not_found`, `no_service`, ..."""
        try:
            answer = post(self._client, self._url, json_bytes(payload(notification)), who="Slack")
        except RefusedError as error:
            mend = _MENDS.get(str(error).rpartition(" ")[2])
            raise (RefusedError(f"{error}: {mend}") if mend else error) from error
        if answer.text.strip() != "ok":
            raise RefusedError(
                f"Slack: answered {answer.status_code} {said(answer)}; is it an incoming webhook's URL?"
            )
        return "ok"

    def close(self) -> None:
        """Do nothing: the client is not ours."""


def payload(notification: Notification) -> dict[str, Any]:
    """Return what is posted: a text for notifications, and blocks for the channel."""
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
    if notification.acknowledging:
        context += f" · `{escape(notification.acknowledging)}`"
    blocks.append({"type": "context", "elements": [{"type": "mrkdwn", "text": _cut(context, _MAX_SECTION)}]})
    return {"text": escape(f"{title}: {notification.reason}"), "blocks": blocks}


def escape(text: str) -> str:
    """Return the text as Slack's mrkdwn wants it: without anything that links, mentions or breaks out."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": _cut(text, _MAX_SECTION)}}


def _cut(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"
