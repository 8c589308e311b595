"""JSON as bytes: fast, and never refused because of one odd value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS
_LARGEST: Final = 2**64 - 1
_SMALLEST: Final = -(2**63)
_MAX_DEPTH: Final = 200
"""orjson's own bound is 254."""


def json_bytes(value: Any, *, newline: bool = False) -> bytes:
    """Return the value as JSON.

    What JSON or its readers do not know becomes the nearest that they do: lone surrogates become `?`, integers
    beyond 64 bits and values of other types their text, what is nested too deeply `"…"`, NaN and infinity null.

    Args:
        value: Mappings, lists and plain values.
        newline: Whether a line break follows.
    """
    options = _OPTIONS | (orjson.OPT_APPEND_NEWLINE if newline else 0)
    try:
        return orjson.dumps(value, option=options)
    except (TypeError, ValueError, RecursionError):
        return orjson.dumps(_tamed(value, 0), option=options)


def exact_json_bytes(value: Any) -> bytes | None:
    """Return the value as JSON, or None if JSON cannot represent a part of it exactly, such as an object."""
    try:
        return orjson.dumps(value, option=_OPTIONS | orjson.OPT_PASSTHROUGH_DATACLASS)
    except (TypeError, ValueError, RecursionError, RuntimeError):
        return None


def parse_json(text: bytes) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: The text is not JSON.
    """
    return orjson.loads(text)


def _tamed(value: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        return "…"
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode("utf-8")
    if isinstance(value, bool) or value is None or isinstance(value, float):
        return value
    if isinstance(value, int):
        return value if _SMALLEST <= value <= _LARGEST else _shown(value)
    if isinstance(value, Mapping):
        return {_tamed(_shown(key), depth): _tamed(member, depth + 1) for key, member in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_tamed(member, depth + 1) for member in value]
    return _tamed(_shown(value), depth)


def _shown(value: Any) -> str:
    """Return a value as text. Python refuses to write integers of more than 4,300 digits; other types may raise."""
    try:
        return str(value)
    except Exception:  # noqa: BLE001 - one value must not lose the rest
        return f"<{type(value).__qualname__}>"
