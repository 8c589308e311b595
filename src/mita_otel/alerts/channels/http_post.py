"""An HTTP POST to a receiver, and the meaning of its response. Needs the extra `alerts`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from mita_otel.alerts.channels.notifier import RefusedError, TryLaterError
from mita_otel.errors import ConfigurationError

_MAX_BODY: Final = 300
"""Characters of a response's body that messages repeat."""


def checked_url(url: str, *, who: str) -> httpx.URL:
    """Return the parsed URL.

    Args:
        url: The URL. It may be a secret, so messages do not repeat it.
        who: The receiver, for messages.

    Raises:
        ConfigurationError: It is not an HTTP URL.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(
            f"{who}: the URL is not valid; copy it completely, it looks like https://HOST/PATH"
        )
    return parsed


def post(
    client: httpx.Client,
    url: str,
    content: bytes,
    headers: Mapping[str, str] | None = None,
    *,
    who: str,
) -> httpx.Response:
    """Post JSON and return the response if it is a success.

    Args:
        client: Has the timeouts.
        url: The URL. It may be a secret, so messages do not repeat it.
        content: JSON.
        headers: Additional headers.
        who: The receiver, for messages.

    Raises:
        TryLaterError: No connection, no response in time, status 429 or 5xx.
        RefusedError: Any other failure.
    """
    try:
        response = client.post(
            url, content=content, headers={"Content-Type": "application/json", **(headers or {})}
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise RefusedError(f"{who}: the URL is not valid; check the variable") from error
    except httpx.TimeoutException as error:
        raise TryLaterError(f"{who}: no response in time ({type(error).__name__})") from error
    except httpx.HTTPError as error:
        raise TryLaterError(f"{who}: no connection ({type(error).__name__})") from error
    if response.is_success:
        return response
    reason = f"{who}: answered {response.status_code} {body_line(response)}".rstrip()
    if response.status_code == 429 or response.status_code >= 500:
        raise TryLaterError(reason, retry_after_s(response.headers))
    raise RefusedError(reason)


def body_line(response: httpx.Response) -> str:
    """Return the body of a response, in one short line."""
    return " ".join(response.text.split())[:_MAX_BODY]


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that `Retry-After` asks for, given as a number or a date. None: no such header."""
    value = headers.get("Retry-After", "").strip()
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)
    return max(0.0, (at - (now or datetime.now(UTC))).total_seconds())
