"""Names of values in structures: labelled values, validation errors, JSON in texts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any, Final

from mita_otel.redaction.marker import MARKER

_LABELS: Final = ("key", "name", "field", "label", "header", "param", "parameter")
"""Keys that hold the name of a value, as in HAR and in forms."""
_SPELLINGS: Final = (*_LABELS, *(label.title() for label in _LABELS))
_FIELDS: Final = ("field", "param", "parameter")
"""Labels of what a user has put in."""
_VALUES: Final = ("value", "Value", "val", "input", "v")
_LABELLED: Final = frozenset({"key", "Key", "k", *_VALUES})
_MAX_LABELLED: Final = 6

_REPORT: Final = re.compile(r"[a-z][a-z0-9_]{0,31}:\d{1,6}")
"""The report of an earlier redactor, such as `password:1`."""


class Names:
    """Returns the name by which each value of a mapping is judged.

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
            return self._label if name in _VALUES else ""
        if self._field is not None and name == "input":
            return self._field
        return name


def _label(mapping: Mapping[Any, Any]) -> str | None:
    """Return the name that a mapping gives to its `value`."""
    value = next((name for name in _VALUES if name in mapping), None)
    if value is None or len(mapping) > _MAX_LABELLED:
        return None
    spellings = _FIELDS if value == "input" else _SPELLINGS
    label = next((mapping[name] for name in spellings if name in mapping), None)
    label = mapping.get("k") if label is None and value == "v" else label
    return label if isinstance(label, str) else None


def _located(mapping: Mapping[Any, Any]) -> str | None:
    """Return the field of a pydantic error dictionary, which quotes the field's `input`."""
    location = mapping.get("loc") if "input" in mapping else None
    return ".".join(map(str, location)) if isinstance(location, (list, tuple)) else None


NOT_JSON: Final = object()
"""Returned for a text that is not JSON: any other value may be valid JSON."""


def parse_json(text: str) -> Any:
    """Return the value of a text that is a JSON object, list or string; else `NOT_JSON`."""
    stripped = text.strip()
    if not stripped or stripped[0] not in '{["' or stripped[-1] not in '}]"' or MARKER.match(stripped):
        return NOT_JSON
    try:
        return json.loads(stripped, object_pairs_hook=_members)
    except (ValueError, RecursionError):
        return NOT_JSON


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return a JSON object. A repeated name keeps all its values, because a reader may use any of them."""
    members = dict(pairs)
    if len(members) < len(pairs):
        every: dict[str, list[Any]] = {}
        for name, value in pairs:
            every.setdefault(name, []).append(value)
        members = {name: values if len(values) > 1 else values[0] for name, values in every.items()}
    return members


def is_report(value: Any) -> bool:
    """Return whether a value is the report of an earlier redactor."""
    members = value if isinstance(value, (list, tuple)) else [value]
    return all(isinstance(member, str) and _REPORT.fullmatch(member) for member in members)
