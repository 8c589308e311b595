"""Mappings that hold a name and its value side by side, as `{"name": "Authorization", "value": "…"}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

_LABELS: Final = ("key", "name", "field", "label", "header", "param", "parameter")
"""Names under which the name of a value may stand beside it, as in HAR and in forms."""
_SPELLINGS: Final = (*_LABELS, *(label.title() for label in _LABELS))
_LABELLED: Final = frozenset({"key", "value", "Key", "Value"})
_MAX_LABELLED: Final = 6


class Names:
    """Says by which name each value of a mapping is judged.

    Args:
        mapping: The mapping.
    """

    def __init__(self, mapping: Mapping[Any, Any]) -> None:
        self._label = _label(mapping)
        self._field = _located(mapping)
        self.plain = self._label is None and self._field is None
        """Whether each value is judged by its own name."""

    def of(self, key: Any) -> str:
        """Return the name that the value under a key is judged by."""
        name = key if isinstance(key, str) else str(key)
        if self._label is not None and name in _LABELLED:
            return self._label if name.lower() == "value" else ""
        if self._field is not None and name == "input":
            return self._field
        return name


def _label(mapping: Mapping[Any, Any]) -> str | None:
    """Return the name that a mapping gives its `value`."""
    if ("value" not in mapping and "Value" not in mapping) or len(mapping) > _MAX_LABELLED:
        return None
    label = next((mapping[name] for name in _SPELLINGS if name in mapping), None)
    return label if isinstance(label, str) else None


def _located(mapping: Mapping[Any, Any]) -> str | None:
    """Return the field that one of pydantic's error dictionaries is about, whose `input` it quotes."""
    location = mapping.get("loc") if "input" in mapping else None
    return ".".join(map(str, location)) if isinstance(location, (list, tuple)) else None
