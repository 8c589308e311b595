"""One HTTP request to a receiver, and what its answer means. Needs the extra `alerts` (httpx)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final

import httpx

from mita_otel.alerts.channels.notifier import RefusedError, TryLaterError
from mita_otel.errors import ConfigurationError

_MAX_SAID: Final = 300
"""Characters of an answer that are repeated."""


def checked_url(url: str, *, who: str) -> httpx.URL:
    """Return a URL that can be posted to.

    Args:
        url: It may be a secret: no message repeats it.
        who: The receiver, for messages.

    Raises:
        ConfigurationError: It is none.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError):
        parsed = httpx.URL()
    if parsed.scheme not in ("http", "https") or not parsed.host:
        raise ConfigurationError(
            f"{who}: the URL is not one that can be posted to; copy it whole, it reads like https://HOST/PATH"
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
    """Post JSON and return the answer if it is a success.

    Args:
        client: Has the timeouts.
        url: Where to. It may be a secret: no message repeats it.
        content: JSON.
        headers: More headers.
        who: The receiver, for messages.

    Raises:
        TryLaterError: No connection, no answer in time, 429 or a server's error.
        RefusedError: Anything else that is no success.
    """
    try:
        response = client.post(
            url, content=content, headers={"Content-Type": "application/json", **(headers or {})}
        )
    except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
        raise RefusedError(f"{who}: the URL is not one that can be posted to; check its variable") from error
    except httpx.TimeoutException as error:
        raise TryLaterError(f"{who}: no answer in time ({type(error).__name__})") from error
    except httpx.HTTPError as error:
        raise TryLaterError(f"{who}: no connection ({type(error).__name__})") from error
    if response.is_success:
        return response
    why = f"{who}: answered {response.status_code} {said(response)}".rstrip()
    if response.status_code == 429 or response.status_code >= 500:
        raise TryLaterError(why, retry_after_s(response.headers))
    raise RefusedError(why)


def said(response: httpx.Response) -> str:
    """Return what the answer says, in one short line."""
    return " ".join(response.text.split())[:_MAX_SAID]


def retry_after_s(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return how many seconds `Retry-After` asks for, as a number or a date; None: it does not say."""
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
