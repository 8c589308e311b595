"""Where a value in a text ends: quoted, in brackets, or bare. Every function here takes linear time."""

from __future__ import annotations

import re
from typing import Final

_QUOTE: Final = re.compile(r"(\\*)([\"'`])")
_BARE: Final = re.compile(r"[^\s,;&<>\"'`()\[\]{}|]+")
_PIPED: Final = re.compile(r"\|[^\s,;&<>\"'`()\[\]{}|=:]+(?![=:\w])")
_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_BRACKETS: Final = re.compile(r"[()\[\]{}]|(?<!\\)\\*[\"']")


def quoted_end(text: str, start: int) -> tuple[int, int, int] | None:
    """Return where the quoted text that opens at `start` begins, ends, and where the quotes end.

    The closing quote carries as many backslashes as the opening one. Without one, the rest of the
    text counts as quoted. None if no quote opens at `start`.
    """
    opening = _QUOTE.match(text, start)
    if opening is None:
        return None
    depth, quote = len(opening[1]), opening[2]
    position = opening.end()
    while (found := text.find(quote, position)) >= 0:
        backslashes = 0
        while found - backslashes - 1 >= opening.end() and text[found - backslashes - 1] == "\\":
            backslashes += 1
        if backslashes <= depth and (depth or backslashes == 0):
            return opening.end(), found - backslashes, found + 1
        position = found + 1
    return opening.end(), len(text), len(text)


def bracket_end(text: str, start: int) -> int:
    """Return where the bracket that opens at `start` is closed, else the end of the text."""
    return bracket_close(text, start) or len(text)


def bracket_close(text: str, start: int) -> int | None:
    """Return the place after the bracket that closes the one at `start`; None if there is none."""
    stack = [_CLOSING[text[start]]]
    position = start + 1
    while match := _BRACKETS.search(text, position):
        char = match.group()
        position = match.end()
        if char in _CLOSING:
            stack.append(_CLOSING[char])
        elif char == stack[-1]:
            stack.pop()
            if not stack:
                return position
        elif char[-1] in "\"'":
            quoted = quoted_end(text, match.start())
            if quoted is not None and quoted[2] < len(text):
                position = quoted[2]
    return None


def bare_end(text: str, start: int) -> int:
    """Return where a bare value ends: at a blank or a delimiter, but a call's brackets belong to it, and parts between bars."""
    match = _BARE.match(text, start)
    position = match.end() if match else start
    if position < len(text) and position > start:
        char = text[position]
        if char == "(":
            return bracket_end(text, position)
        if char in "\"'" and text[position - 1] not in "=:":
            quoted = quoted_end(text, position)
            if quoted is not None:
                return quoted[2]
        while piped := _PIPED.match(text, position):
            position = piped.end()
    return position


def value_span(text: str, start: int) -> tuple[int, int]:
    """Return where the value at `start` begins and ends: without its quotes or brackets, or bare."""
    quoted = quoted_end(text, start)
    if quoted is not None:
        return quoted[0], quoted[1]
    if text[start] in _CLOSING:
        return start, bracket_end(text, start)
    return start, bare_end(text, start)
