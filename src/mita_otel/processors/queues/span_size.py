"""How much memory a finished span takes, roughly: good enough to bound what waits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan

_SPAN: Final = 1500
"""Bytes of a span without attributes, its context included."""
_ENTRY: Final = 120
"""Bytes of a name and a small value in a mapping."""
_EVENT: Final = 400
_SMALL: Final = frozenset({int, float, bool, type(None)})
"""What needs no further look: most of what is no text."""


def estimated_bytes(span: ReadableSpan) -> int:
    """Return a span's size in bytes: texts by their length, everything else by its number."""
    size = _SPAN + _mapping(span.attributes)
    for event in span.events:
        size += _EVENT + _mapping(event.attributes)
    for link in span.links:
        size += _EVENT + _mapping(link.attributes)
    return size


def _mapping(attributes: Mapping[str, Any] | None) -> int:
    if not attributes:
        return 0
    size = _ENTRY * len(attributes)
    for value in attributes.values():
        kind = type(value)
        if kind is str or kind is bytes:
            size += len(value)
        elif kind in _SMALL:
            continue
        elif isinstance(value, Mapping):
            size += _mapping(value)
        elif isinstance(value, list | tuple):
            size += sum(len(one) if isinstance(one, str | bytes) else 32 for one in value)
    return size
