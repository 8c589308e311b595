"""Reads Sentry's responses: rate limits by data category, explanations of errors, and what to do about them.

Source: Sentry's rate limiting, `X-Sentry-Rate-Limits` and `Retry-After`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

from mita_otel.sentry.transport.ingest_client import Response

_MAX_EXPLANATION: Final = 200
"""Maximum characters of the explanation in a response."""
_DEFAULT_S: Final = 60.0
"""Seconds to wait after a 429 without a usable `Retry-After`."""
_EVERYTHING: Final = ""
"""The category of a limit for all categories."""
_NAMESPACED: Final = "metric_bucket"
"""The category whose limits have namespaces. Metrics of SDKs are in the namespace `custom`."""
_NAMESPACE: Final = "custom"


class RateLimits:
    """Remembers the end of the rate limit for each data category.

    Args:
        clock: Returns monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}

    def update(self, status: int, headers: Mapping[str, str]) -> None:
        """Apply the limits of a response.

        Args:
            status: HTTP status. A 429 without `X-Sentry-Rate-Limits` limits every category.
            headers: Header names are looked up in lower case.
        """
        header = headers.get("x-sentry-rate-limits")
        if header:
            for category, seconds in parse_rate_limits(header):
                self._limit(category, seconds)
        elif status == 429:
            self._limit(_EVERYTHING, _retry_after_s(headers.get("retry-after")))

    def apply_to(self, category: str) -> bool:
        """Return whether a rate limit applies to a category now."""
        now = self._clock()
        return any(self._until.get(one, now) > now for one in (category, _EVERYTHING))

    @property
    def active(self) -> bool:
        """Whether any category is limited now."""
        now = self._clock()
        return any(until > now for until in self._until.values())

    def _limit(self, category: str, seconds: float) -> None:
        until = self._clock() + seconds
        self._until[category] = max(until, self._until.get(category, until))


def parse_rate_limits(header: str) -> Iterator[tuple[str, float]]:
    """Yield category and seconds for each limit of an `X-Sentry-Rate-Limits` header. An empty category means all.

    Limits that cannot be parsed are skipped.
    """
    for limit in header.split(","):
        seconds, *parts = limit.strip().split(":")
        if not parts or not seconds.strip().isdecimal():
            continue
        namespaces = parts[3].split(";") if len(parts) > 3 and parts[3] else [_NAMESPACE]
        for category in parts[0].split(";"):
            if category != _NAMESPACED or _NAMESPACE in namespaces:
                yield category, float(seconds)


def _retry_after_s(value: str | None) -> float:
    try:
        return (Retry().parse_retry_after(value) if value is not None else 0.0) or _DEFAULT_S
    except InvalidHeader:
        return _DEFAULT_S


def explanation_of(response: Response) -> str:
    """Return the explanation in Sentry's response, such as ` (event submission rejected; ...)`, or an empty text."""
    try:
        content = json.loads(response.body)
        texts = [str(content.get("detail") or ""), *(str(one) for one in content.get("causes") or ())]
    except (ValueError, AttributeError, TypeError):
        return ""
    text = " ".join("; ".join(filter(None, texts)).split())[:_MAX_EXPLANATION]
    return f" ({text})" if text else ""


def next_step(status: int) -> str:
    """Return what to do about a response of Sentry that is an error."""
    if status in (401, 403):
        return "check SENTRY_DSN and that its key is active in the project's settings"
    if status == 404:
        return "check host and project in SENTRY_DSN"
    if status == 413:
        return "lower sentry.max_event_kilobytes or sentry.max_spans of the policy"
    if status == 429:
        return "check the project's quota and rate limits"
    if status == 400:
        return "run `mita-otel test sentry`; an older self-hosted Sentry may need another sentry.protocol"
    return "check the status of Sentry; run `mita-otel doctor`"
