"""Texts that are JSON: an attribute, a message or a body often is, and what it holds has names."""

from __future__ import annotations

import json
from typing import Any, Final

from mita_otel.redaction.marker import MARKER

NOT_JSON: Final = object()
"""Stands for the value of a text that is not JSON: any other may be one."""


def parse_json(text: str) -> Any:
    """Return the value of a text, if it is an object, a list or a string of JSON; else `NOT_JSON`."""
    stripped = text.strip()
    if not stripped or stripped[0] not in '{["' or stripped[-1] not in '}]"' or MARKER.match(stripped):
        return NOT_JSON
    try:
        return json.loads(stripped, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        return NOT_JSON


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return an object of JSON. A name that comes twice has all its values: a reader may take any of them."""
    members = dict(pairs)
    if len(members) < len(pairs):
        every: dict[str, list[Any]] = {}
        for name, value in pairs:
            every.setdefault(name, []).append(value)
        members = {name: values if len(values) > 1 else values[0] for name, values in every.items()}
    return members
