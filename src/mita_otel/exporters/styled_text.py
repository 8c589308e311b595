"""Styled lines of text for a terminal, with their width in columns."""

from __future__ import annotations

import os
import re
import unicodedata
from dataclasses import dataclass
from typing import Final, Self, TextIO

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
    "bright_blue": "94",
}
"""ANSI codes (ECMA-48, select graphic rendition) by style name."""

_EMOJI_VARIATION: Final = "\ufe0f"
"""Makes the character before it an emoji, two columns wide."""


class StyledText:
    """A line of text in styled pieces. A style is a list of names such as `bold red`, or empty.

    Args:
        text: The first piece.
        style: Its style.
    """

    def __init__(self, text: str = "", style: str = "") -> None:
        self._pieces: list[tuple[str, str]] = [(text, style)] if text else []

    @property
    def plain(self) -> str:
        """The text without its styles."""
        return "".join(text for text, _ in self._pieces)

    @property
    def width(self) -> int:
        """Width of the text in columns."""
        return columns_of(self.plain)

    def append(self, text: str | StyledText, style: str = "") -> Self:
        """Append text. A styled text keeps its styles."""
        self._pieces.extend(text._pieces if isinstance(text, StyledText) else [(text, style)])
        return self

    def cut(self, width: int, ellipsis: str) -> StyledText:
        """Return the text, truncated to a width with a dim ellipsis."""
        if self.width <= width:
            return StyledText().append(self)
        kept, left = StyledText(), max(0, width - len(ellipsis))
        for text, style in self._pieces:
            fits = _fitting_prefix(text, left)
            kept.append(fits, style)
            left -= columns_of(fits)
            if fits != text:
                break
        return kept.append(" " * left).append(ellipsis[:width], "dim")

    def padded(self, width: int) -> StyledText:
        """Return the text, padded with spaces to a width."""
        return StyledText().append(self).append(" " * max(0, width - self.width))

    def rendered(self, *, colours: bool) -> str:
        """Return the text for a terminal, without trailing spaces. Without `colours` it has no ANSI codes."""
        if not colours:
            return self.plain.rstrip(" ")
        pieces = list(self._pieces)
        while pieces and not pieces[-1][0].rstrip(" "):
            pieces.pop()
        if pieces:
            text, style = pieces[-1]
            pieces[-1] = (text.rstrip(" "), style)
        return "".join(_ansi(text, style) for text, style in pieces if text)


def _ansi(text: str, style: str) -> str:
    codes = ";".join(_CODES[word] for word in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m" if codes else text


def columns_of(text: str) -> int:
    """Return the maximum width of a text in columns of a terminal."""
    if text.isascii():
        return len(text)
    return sum(_columns(text[position - 1] if position else "", one) for position, one in enumerate(text))


def _fitting_prefix(text: str, width: int) -> str:
    """Return the longest prefix of a text that fits into a width."""
    used = 0
    for position, one in enumerate(text):
        used += _columns(text[position - 1] if position else "", one)
        if used > width:
            return text[:position]
    return text


def _columns(before: str, one: str) -> int:
    if one == _EMOJI_VARIATION:
        return 1 if before and _columns("", before) == 1 else 0
    category = unicodedata.category(one)
    if category in ("Mn", "Me"):
        return 0
    # A character that is unknown to this Python version may be wide.
    return 2 if category == "Cn" or unicodedata.east_asian_width(one) in ("W", "F") else 1


def shows_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal with colours. `NO_COLOR` and `FORCE_COLOR` take precedence."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.name == "nt" and not os.environ.get("WT_SESSION"):
        return False
    return stream.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


@dataclass(frozen=True, slots=True)
class Glyphs:
    """Characters for drawing. Each bar character takes one column."""

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


def printable(text: str) -> str:
    """Return the text on one line. Control and invisible characters, which terminals execute, become `?`."""
    line = _SPACES.sub(" ", text).strip()
    if line.isprintable():
        return line
    return "".join(one if one.isprintable() else "?" for one in line)
