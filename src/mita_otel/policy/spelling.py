"""How keys and values are written in TOML: for messages, for `policy show`, for the reference."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Mapping
from typing import Any

KeyPath = tuple[str, ...]

_PART = r"""(?:[A-Za-z0-9_-]+|"(?:[^"\\\n]|\\.)*"|'[^'\n]*')"""
KEY = re.compile(rf"{_PART}(?:[ \t]*\.[ \t]*{_PART})*")
"""A key as TOML spells it."""
_PARTS = re.compile(_PART)
_BARE = re.compile(r"[A-Za-z0-9_-]+\Z")


def write_key(key: KeyPath) -> str:
    """Return the key with dots and, where a part needs them, quotes: `thresholds.api.routes."GET /x"`."""
    return ".".join(part if _BARE.match(part) else _text(part) for part in key)


def read_key(dotted: str) -> KeyPath:
    """Return the parts of a key as TOML spells it.

    Raises:
        ValueError: It is not a key.
    """
    if not KEY.fullmatch(dotted):
        raise ValueError(f"{dotted!r} is not a key")
    return tuple(_unquoted(part) for part in _PARTS.findall(dotted))


def _unquoted(part: str) -> str:
    if part[0] not in "\"'":
        return part
    # (TOMLDecodeError is a ValueError.)
    return str(tomllib.loads(f"part = {part}")["part"])


def write_value(value: Any) -> str:
    """Return the value as TOML spells it, on one line. Floats without a fraction lose their point."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, Mapping):
        inside = ", ".join(f"{write_key((name,))} = {write_value(one)}" for name, one in value.items())
        return f"{{ {inside} }}" if inside else "{}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(write_value, value))}]"
    return str(value)


def _text(text: str) -> str:
    # A JSON string is a TOML string, but for one control character that JSON leaves as it is.
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007F")


def member(node: Any, part: str) -> Any:
    """Return the member of a table or list, or None if there is none."""
    if isinstance(node, dict):
        return node.get(part)
    return node[int(part)] if isinstance(node, list) and part.isdigit() and int(part) < len(node) else None
