"""Canonical JSON: one spelling for each value, so that bytes can be signed and compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any, Final

import orjson

_LARGEST: Final = 2**63 - 1
_UNPRINTABLE: Final = "\N{REPLACEMENT CHARACTER}"


def canonical(value: Any) -> bytes:
    """Return the value as JSON: keys sorted, no blanks, UTF-8.

    Values that JSON or a database cannot hold become text: decimals, dates, huge numbers, bytes (hexadecimal). Lone
    surrogates become the replacement character.
    """
    return orjson.dumps(_json_value(value), option=orjson.OPT_SORT_KEYS)


def clean_text(text: str) -> str:
    """Return the text without characters that a database's text column cannot hold: NUL and lone surrogates."""
    if "\x00" in text:
        text = text.replace("\x00", _UNPRINTABLE)
    return _encodable(text)


def _encodable(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass").decode("utf-8", "replace")
    return text


def _json_value(value: Any) -> Any:
    if value is None or isinstance(value, bool | float):
        return value
    if isinstance(value, str):
        return value if value.isascii() else _encodable(str(value))
    if isinstance(value, int):
        return int(value) if -_LARGEST <= value <= _LARGEST else str(value)
    if isinstance(value, Mapping):
        return {_encodable(str(key)): _json_value(member) for key, member in value.items()}
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value).hex()
    if isinstance(value, Sequence | AbstractSet):
        return [_json_value(member) for member in value]
    return _encodable(str(value))
