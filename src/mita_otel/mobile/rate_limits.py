"""Sentry's rate limits: read from its responses, applied, and passed on to apps.

Source: Sentry's rate limiting. `X-Sentry-Rate-Limits: 60:transaction;span:project:reason, 2700::organization`; an
empty list of categories means all. A 429 without it means all, for `Retry-After` seconds.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from mita_otel.policy.mobile import Priority

HEADER: Final = "x-sentry-rate-limits"
RETRY_AFTER: Final = "retry-after"
_ALL: Final = ""
_DEFAULT_S: Final = 60.0
"""Seconds that SDKs wait if a 429 names none."""
_LONGEST_S: Final = 86_400.0
_MAX_LIMITS: Final = 64
_TOO_MANY: Final = 429


class ForwardedRateLimits:
    """Sentry's limits for the items of apps, which are forwarded to the apps as a header. Thread-safe.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._until: dict[str, float] = {}

    def update(self, status: int, headers: Mapping[str, str]) -> None:
        """Apply the rate limits of a response.

        Args:
            status: HTTP status.
            headers: Headers by lower-case name.
        """
        said = headers.get(HEADER)
        if said:
            for seconds, categories in _parse(said):
                self.limit(categories, seconds)
        elif status == _TOO_MANY:
            self.limit((_ALL,), _seconds(headers.get(RETRY_AFTER, "")))

    def limit(self, categories: Iterable[str], seconds: float) -> None:
        """Limit categories from now on. A limit that lasts longer stays."""
        until = self._clock() + min(seconds, _LONGEST_S)
        with self._lock:
            for category in categories:
                if category in self._until or len(self._until) < _MAX_LIMITS:
                    self._until[category] = max(until, self._until.get(category, 0.0))

    def is_limited(self, categories: Iterable[str]) -> bool:
        """Return whether one of the categories is limited now."""
        return self.seconds_left(categories) > 0

    def seconds_left(self, categories: Iterable[str]) -> float:
        """Return for how many seconds one of the categories is still limited. 0: none is."""
        now = self._clock()
        with self._lock:
            untils = [self._until.get(one, 0.0) for one in (_ALL, *categories)]
        return max(0.0, max(untils) - now)

    def header(self, but: Collection[str] = ()) -> str:
        """Return the current limits in the format of the header. Empty: there are none.

        Args:
            but: Categories to leave out, so that apps keep sending them.
        """
        now = self._clock()
        with self._lock:
            for category in [one for one, until in self._until.items() if until <= now]:
                del self._until[category]
            left = {category: until - now for category, until in self._until.items() if category not in but}
        if but and _ALL in left:
            left[";".join(sorted(EVERY_CATEGORY.difference(but)))] = left.pop(_ALL)
        said = sorted(left.items())
        return ", ".join(f"{_whole(seconds)}:{category}:organization" for category, seconds in said)


def _whole(seconds: float) -> int:
    """Round up, so that an SDK does not retry too early."""
    return max(1, int(seconds) + (seconds > int(seconds)))


def _parse(header: str) -> list[tuple[float, tuple[str, ...]]]:
    limits: list[tuple[float, tuple[str, ...]]] = []
    for one in header.lower().split(",")[:_MAX_LIMITS]:
        parts = one.strip().split(":")
        if len(parts) < 2:
            continue
        categories = tuple(dict.fromkeys(part.strip() for part in parts[1].split(";")))[:_MAX_LIMITS]
        limits.append((_seconds(parts[0]), categories))
    return limits


def _seconds(text: str) -> float:
    try:
        seconds = float(text.strip())
    except ValueError:
        return _DEFAULT_S
    return seconds if 0 <= seconds < float("inf") else _DEFAULT_S


CATEGORIES: Final[dict[str, tuple[str, ...]]] = {
    "event": ("error",),
    "transaction": ("transaction",),
    "span": ("span",),
    "otlp_traces": ("span",),
    "session": ("session",),
    "sessions": ("session",),
    "client_report": ("internal",),
    "feedback": ("feedback",),
    "user_report": ("user_report", "feedback"),
    "log": ("log_item", "log_byte"),
    "trace_metric": ("trace_metric", "trace_metric_byte"),
    "check_in": ("monitor",),
    "attachment": ("attachment",),
    "profile": ("profile",),
    "profile_chunk": ("profile_chunk", "profile_chunk_ui"),
    "replay_event": ("replay",),
    "replay_recording": ("replay",),
    "replay_video": ("replay",),
    "statsd": ("metric_bucket",),
    "metric_buckets": ("metric_bucket",),
}
"""Categories of each type. A limit on any of them limits the type."""

_UNKNOWN: Final = ("default",)

EVERY_CATEGORY: Final = frozenset(_UNKNOWN).union(*CATEGORIES.values())
"""All categories."""

PRIORITIES: Final[tuple[Priority, ...]] = ("crash", "error", "health", "performance", "debug")
"""Most important first; evicted in reverse order."""


def categories_of(kind: str) -> tuple[str, ...]:
    """Return a type's categories; `default` for an unknown type."""
    return CATEGORIES.get(kind, _UNKNOWN)
