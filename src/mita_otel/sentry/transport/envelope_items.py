"""Items of an envelope: which data category each counts in, and how many spans it holds.

Source: Sentry's envelope items and data categories.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sentry_sdk.envelope import Item, PayloadRef

SPANS_STAGE: Final = "sentry"
"""Where lost spans are counted."""
LOGS_STAGE: Final = "sentry.logs"
"""Where lost log records are counted."""
OTHER_STAGE: Final = "sentry.other"
"""Where other lost items are counted: errors, sessions."""

_CATEGORIES: Final = {
    "event": "error",
    "transaction": "transaction",
    "span": "span",
    "log": "log_item",
    "trace_metric": "trace_metric",
    "statsd": "metric_bucket",
    "session": "session",
    "sessions": "session",
    "attachment": "attachment",
    "profile": "profile",
    "profile_chunk": "profile_chunk",
    "check_in": "monitor",
    "feedback": "feedback",
    "client_report": "internal",
}
"""Data category by item type."""
_BYTE_CATEGORIES: Final = {"log_item": "log_byte", "trace_metric": "trace_metric_byte"}
"""Categories whose size Sentry counts as well."""


class SpansItem(Item):
    """An item that is made of spans, already encoded.

    Args:
        payload: JSON.
        type: `transaction` or `span`.
        spans: Number of spans in it.
        important: Whether one of them exceeded a limit or failed.
        headers: More headers of the item.
        content_type: Of the payload.
    """

    def __init__(
        self,
        payload: bytes,
        *,
        type: str,  # noqa: A002 - sentry-sdk's name
        spans: int,
        important: bool = False,
        headers: dict[str, Any] | None = None,
        content_type: str = "application/json",
    ) -> None:
        super().__init__(PayloadRef(bytes=payload), headers=headers, type=type, content_type=content_type)
        self.spans = spans
        self.important = important


def category_of(item: Item) -> str:
    """Return the data category of an envelope item; it decides which rate limit applies."""
    return _CATEGORIES.get(item.type or "", "default")


def loss_of(item: Item) -> tuple[str, int]:
    """Return the stage at which an item is counted if it is lost, and how much it counts there."""
    if isinstance(item, SpansItem):
        return SPANS_STAGE, item.spans
    if item.type == "log":
        return LOGS_STAGE, int(item.headers.get("item_count") or 1)
    return OTHER_STAGE, 0 if item.type == "client_report" else 1


def quantities_of(item: Item) -> Iterator[tuple[str, int]]:
    """Yield each data category that an item counts in, and how much."""
    category = category_of(item)
    if isinstance(item, SpansItem):
        if category == "transaction":
            yield category, 1
        yield "span", item.spans
        return
    if category == "attachment":
        yield category, len(item.get_bytes()) or 1
        return
    count = item.headers.get("item_count")
    yield category, count if isinstance(count, int) and count > 0 else 1
    if category in _BYTE_CATEGORIES:
        yield _BYTE_CATEGORIES[category], len(item.get_bytes())
