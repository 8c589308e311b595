"""What the types of items are to Sentry: their categories, in rate limits and in reports of losses.

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
"""Categories of each type: a limit on any of them is one on the type."""

_UNKNOWN: Final = ("default",)

EVERY_CATEGORY: Final = frozenset(_UNKNOWN).union(*CATEGORIES.values())
"""All of them, for who wants to say everything but one."""

PRIORITIES: Final[tuple[Priority, ...]] = ("crash", "error", "health", "performance", "debug")
"""What is given up last comes first."""


def categories_of(kind: str) -> tuple[str, ...]:
    """Return a type's categories; `default` for one that is not known."""
    return CATEGORIES.get(kind, _UNKNOWN)
