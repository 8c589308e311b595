"""What of an envelope holds spans, and how many: a loss is counted by them."""

from __future__ import annotations

from typing import Any

from sentry_sdk.envelope import Item, PayloadRef


class SpansItem(Item):
    """An envelope's item that is made of spans, as bytes.

    Args:
        payload: JSON.
        type: `transaction` or `span`.
        spans: How many spans are in it.
        important: Whether one of them broke a limit or failed.
        headers: More headers of the item.
        content_type: As the item's header says.
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
