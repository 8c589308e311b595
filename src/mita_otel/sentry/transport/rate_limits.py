"""Rate limits from Sentry's responses, by data category.

Source: Sentry's rate limiting, `X-Sentry-Rate-Limits` and `Retry-After`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Final

from urllib3.exceptions import InvalidHeader
from urllib3.util import Retry

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
