"""Makes values encodable. UTF-8 and protobuf reject lone surrogates, and OTLP rejects integers beyond 64 bits.

One rejected value would lose the whole batch that it is sent in.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from typing import Any, Final

_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_INT64: Final = 2**63
_HUGE_BITS: Final = 4096
"""Python refuses to write integers of more than 4,300 digits."""
_HUGE: Final = "[redacted:number]"
_RULE: Final = "encoding"
_MAX_DEPTH: Final = 64

Tally = Counter[str]


def encodable_text(text: str, tally: Tally) -> str:
    """Return a text with U+FFFD for each lone surrogate; the same object if it has none."""
    if text.isascii():
        return text
    safe, count = _SURROGATE.subn("\ufffd", text)
    if not count:
        return text
    tally[_RULE] += 1
    return safe


def encodable_number(value: Any, tally: Tally) -> Any:
    """Return a number; an integer beyond 64 bits as text, or without its digits if it is huge."""
    if not isinstance(value, int) or -_INT64 <= value < _INT64:
        return value
    tally[_RULE] += 1
    return str(value) if value.bit_length() < _HUGE_BITS else _HUGE


def encodable(value: Any, tally: Tally, depth: int = 0) -> Any:
    """Return a value of any nesting that can be encoded; the same object if no part of it changes."""
    if isinstance(value, str):
        return encodable_text(value, tally)
    if isinstance(value, int):
        return encodable_number(value, tally)
    if depth >= _MAX_DEPTH:
        return value
    before = tally[_RULE]
    if isinstance(value, Mapping):
        mapping = {
            encodable(key, tally, depth + 1): encodable(member, tally, depth + 1)
            for key, member in value.items()
        }
        return value if tally[_RULE] == before else mapping
    if isinstance(value, (list, tuple)):
        members = [encodable(member, tally, depth + 1) for member in value]
        changed = members if isinstance(value, list) else tuple(members)
        return value if tally[_RULE] == before else changed
    return value
