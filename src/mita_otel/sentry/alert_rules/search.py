"""Sentry's search syntax: `key:value`, `key:[a, b]`, `!key:value`, `has:key`."""

from __future__ import annotations

import re
from typing import Final

Terms = list[tuple[str, list[str], bool]]
"""Key, values (any of them; none: the key stands alone) and whether the opposite is wanted."""

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.*/:-]+\Z")


def query_of(terms: Terms) -> str:
    """Return the query of all terms together."""
    return " ".join(_term(key, values, negated=negated) for key, values, negated in terms)


def _term(key: str, values: list[str], *, negated: bool) -> str:
    mark = "!" if negated else ""
    if not values:
        return f"{mark}{key}"
    if len(values) == 1:
        return f"{mark}{key}:{_value(values[0])}"
    if any("*" in value for value in values):  # lists take no patterns
        parts = [f"{mark}{key}:{_value(value)}" for value in values]
        return " ".join(parts) if negated else f"({' OR '.join(parts)})"
    return f"{mark}{key}:[{', '.join(map(_value, values))}]"


def _value(text: str) -> str:
    if _PLAIN.match(text):
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
