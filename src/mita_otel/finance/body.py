"""Finds the transaction id in a JSON body, without consuming or keeping the body."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping, Sequence
from typing import Any

import orjson

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]

_METHODS = frozenset({"POST", "PUT", "PATCH", "DELETE"})


class BodyWatcher:
    """Inspects a body while the application reads it.

    Args:
        receive: The ASGI receive callable.
        keys: Top-level keys that contain the id.
        max_body: Maximum bytes; a longer body is not inspected.
        found: Called with the id.
    """

    def __init__(
        self, receive: Receive, keys: Sequence[str], max_body: int, found: Callable[[str | int], None]
    ) -> None:
        self._receive = receive
        self._keys = keys
        self._max_body = max_body
        self._found = found
        self._parts: list[bytes] | None = []
        self._size = 0

    async def __call__(self) -> Message:
        """Return the next message unchanged."""
        message = await self._receive()
        if self._parts is not None and message["type"] == "http.request":
            self._look(message)
        return message

    def _look(self, message: Message) -> None:
        parts, body = self._parts, message.get("body", b"")
        if parts is None:
            return
        self._size += len(body)
        if self._size > self._max_body:
            self._parts = None
            return
        parts.append(body)
        if message.get("more_body", False):
            return
        self._parts = None
        self._read(b"".join(parts))

    def _read(self, body: bytes) -> None:
        if not any(key.encode() in body for key in self._keys):
            return
        try:
            document = orjson.loads(body)
        except orjson.JSONDecodeError:
            return
        if isinstance(document, dict):
            for key in self._keys:
                value = document.get(key)
                if isinstance(value, str | int) and not isinstance(value, bool):
                    self._found(value)
                    return


def is_json(method: str, content_type: str | None) -> bool:
    """Return whether a request may have a JSON body."""
    kind = (content_type or "").partition(";")[0].strip().lower()
    return method in _METHODS and (kind == "application/json" or kind.endswith("+json"))
