"""Things in Sentry, in a form that can be compared: what is ours to say, in a fixed order, ids replaced by names."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Resource:
    """A thing as it shall be, or as it is."""

    kind: str
    """`monitor` or `alert`."""
    name: str
    form: Mapping[str, Any]
    """What is compared: nested mappings, lists and plain values."""


@dataclass(frozen=True)
class Existing(Resource):
    """A thing that is there."""

    id: str = ""
    raw: Mapping[str, Any] = field(default_factory=dict)
    """As Sentry tells it."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One value that is not as it shall be."""

    path: str
    is_now: Any
    shall_be: Any

    def __str__(self) -> str:
        return f"{self.path}: {_shown(self.is_now)} -> {_shown(self.shall_be)}"


def differences(is_now: Any, shall_be: Any, path: str = "") -> Iterator[Difference]:
    """Yield each value that differs, with its place."""
    if isinstance(is_now, Mapping) and isinstance(shall_be, Mapping):
        for key in [*shall_be, *(one for one in is_now if one not in shall_be)]:
            below = f"{path}.{key}" if path else str(key)
            yield from differences(is_now.get(key), shall_be.get(key), below)
    elif isinstance(is_now, list) and isinstance(shall_be, list) and len(is_now) == len(shall_be):
        for number, (old, new) in enumerate(zip(is_now, shall_be, strict=True)):
            yield from differences(old, new, f"{path}.{number}")
    elif is_now != shall_be:
        yield Difference(path, is_now, shall_be)


def in_order(values: Sequence[Any]) -> list[Any]:
    """Return the values in an order that does not depend on how Sentry tells them."""
    return sorted(values, key=lambda one: json.dumps(one, sort_keys=True, default=str))


def number(value: Any) -> Any:
    """Return a number as it is compared: 5.0 is 5, "5" is 5."""
    if isinstance(value, str):
        try:
            value = float(value)
        except ValueError:
            return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return value


def _shown(value: Any) -> str:
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False, default=str)
