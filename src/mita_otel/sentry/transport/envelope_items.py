"""Envelope items with their data categories and numbers of spans.

Source: Sentry's envelope items and data categories.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sentry_sdk.envelope import Item, PayloadRef

SPANS_STAGE: Final = "sentry"
"""Stage at which lost spans are counted."""
LOGS_STAGE: Final = "sentry.logs"
"""Stage at which lost log records are counted."""
OTHER_STAGE: Final = "sentry.other"
"""Stage at which other lost items are counted, such as errors and sessions."""

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
"""Category for the size in bytes, for categories whose size Sentry counts as well."""


class SpansItem(Item):
    """An item of encoded spans.

    Args:
        payload: The spans as JSON.
        type: `transaction` or `span`.
        spans: Number of spans in the item.
        important: Whether one of the spans exceeded a limit or failed.
        headers: Additional headers of the item.
        content_type: Content type of the payload.
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
    """Return the data category of an envelope item. It determines the rate limit."""
    return _CATEGORIES.get(item.type or "", "default")


def loss_of(item: Item) -> tuple[str, int]:
    """Return the stage and the quantity to count if the item is lost."""
    if isinstance(item, SpansItem):
        return SPANS_STAGE, item.spans
    if item.type == "log":
        return LOGS_STAGE, int(item.headers.get("item_count") or 1)
    return OTHER_STAGE, 0 if item.type == "client_report" else 1


def quantities_of(item: Item) -> Iterator[tuple[str, int]]:
    """Yield each data category of an item with its quantity."""
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
