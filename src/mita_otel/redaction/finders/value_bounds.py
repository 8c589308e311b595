"""Where a value in a text ends: quoted, in brackets, or bare. Every function here takes linear time."""

from __future__ import annotations

import re
from typing import Final

from mita_otel.policy.redaction import GrammarPolicy

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
        if char in "\"'" and text[position - 1] not in "=:" and text[position + 1 : position + 2].isalnum():
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


_MIN_DISTINCT: Final = 16
_MIN_RANDOM: Final = 8
_SEPARATED: Final = re.compile(r"[\-_./:]+")
_PURE: Final = re.compile(r"[A-Za-z]*|[0-9]*|[A-Z]?[a-z]+[0-9]{1,2}")
"""A part of a value that names something, rather than being made at random."""
_NO_SECRET: Final = re.compile(
    r"[vV]?\d{1,4}(?:\.\d{1,6}){0,4}(?:-?(?:alpha|beta|rc|dev)\.?\d{0,3})?|\d+(?:st|nd|rd|th)|\d+x\d+|\d+/\d+"
    r"|[$\u20ac\u00a3~#]?\d[\d.,]*(?:%|[kKmMgG]?[bB]?|ms|s|us|min|h|d|px)"
    r"|\d{4}-\d\d?-\d\d?(?:T[\d:.+Z\-]*)?|\d\d?:\d\d(?::\d\d(?:\.\d+)?)?|\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?"
    r"|\d+-\d{1,4}|\d+-[a-z]+|[A-Za-z]+-\d{1,2}(?:-[A-Z]+)?|[A-Za-z]+/\d{1,6}(?:\.\d{1,6}){0,4}|[a-z]{1,16}:\d{1,5}"
    r"|(?:[A-Z]{2,8}[\-_]?)?(?:SHA|MD|RFC)[\-_]?\d{1,5}"
    r"|(?:https?|wss?|file)://\S*|[~.]{0,2}/[\w.\-/]*|[A-Za-z]:\\\S*"
)
"""Versions, ordinals, amounts, ranges, sizes, durations, dates, times, addresses and paths."""


_COMPLAINT: Final = re.compile(
    r"(?:This (?:field|value|password)|Missing data|Ensure|An? valid|Not a valid|Shorter than|Longer than|Field|[Mm]ust|Enter an?|Input should|String should|Length must)"
    r"(?: (?:[a-z]+(?:[\-'][a-z]+)?|\d{1,2})[,.;:]?){1,16}"
)
"""What a validator says about a value."""


def is_complaint(value: str) -> bool:
    """Return whether a value is what a validator says about it, as in `{"pin": ["This field is required."]}`."""
    return bool(_COMPLAINT.fullmatch(value.strip("\"'")))


class ValueShapes:
    """Judges a value by how it is written.

    Args:
        grammar: Words that are no values.
    """

    def __init__(self, grammar: GrammarPolicy) -> None:
        self._ordinary_words = frozenset(grammar.ordinary_words)
        self._wordlike = frozenset(grammar.wordlike)
        units = "|".join(re.escape(unit) for unit in sorted(grammar.units, key=len, reverse=True))
        self._unit = re.compile(rf" ?(?:{units})(?!\w)", re.IGNORECASE)

    def is_ordinary_word(self, value: str) -> bool:
        """Return whether a value is a word that continues a sentence."""
        return value.lower().strip(".!") in self._ordinary_words

    def is_measured(self, text: str, end: int) -> bool:
        """Return whether a unit follows the number that ends there."""
        return bool(self._unit.match(text, end))

    def is_named(self, value: str) -> bool:
        """Return whether a value with a digit names something: an algorithm, a version, a date, an address."""
        lower = value.lower()
        return lower in self._wordlike or lower in self._ordinary_words or bool(_NO_SECRET.fullmatch(value))


def is_distinct(value: str) -> bool:
    """Return whether what follows a common word (`key: …`) looks like a value: a digit, or sixteen characters."""
    return has_digit(value) or len(value) >= _MIN_DISTINCT


def has_digit(value: str) -> bool:
    """Return whether a value holds a digit."""
    return any(char.isdigit() for char in value)


def looks_random(value: str) -> bool:
    """Return whether a value is made at random: digits among letters, not words and numbers between separators."""
    if len(value) < _MIN_RANDOM or not has_digit(value):
        return False
    return any(not _PURE.fullmatch(part) for part in _SEPARATED.split(value))
