"""The characters of the pictures, in Unicode and for terminals and files that have none; and safe text."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Glyphs:
    """A set of characters. Each bar character takes one column."""

    child: str
    last: str
    pass_by: str
    gap: str
    full: str
    left_half: str
    right_half: str
    over: str
    breach: str
    failed: str
    redacted: str
    times: str
    ellipsis: str


UNICODE = Glyphs("├─ ", "└─ ", "│  ", "   ", "█", "▌", "▐", "▒", "▲", "✗", "◆", "\u00d7", "…")
ASCII = Glyphs("|- ", "`- ", "|  ", "   ", "=", "=", "=", "#", "!", "x", "*", "x", "...")


_SPACES = re.compile(r"\s+")
# Terminals act on control characters; text direction marks can turn a line around.
_CONTROLS = re.compile("[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")


def printable(text: str) -> str:
    """Return the text on one line, with nothing in it that a terminal would obey."""
    return _CONTROLS.sub("?", _SPACES.sub(" ", text).strip())
