"""Item types and Sentry's data categories, which rate limits and loss reports use.

Source: Sentry's data categories (rate limiting, client reports), as its SDKs map them.
"""

from __future__ import annotations

from typing import Final

from mita_otel.policy.mobile import Priority

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
