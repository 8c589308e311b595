"""The result of a finder: a part of a text and the rule that it matches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Hit(NamedTuple):
    """A part of a text that is to be redacted."""

    start: int
    end: int
    rule: str


Find = Callable[[str], Iterable[Hit]]
"""Yields the secrets of one kind in a text, in any order, in linear time."""


class Finder(NamedTuple):
    """A kind of secret: how to find it, and what every text with such a secret contains."""

    find: Find
    words: tuple[str, ...] = ()
    """One of these words, in lower case, is in every text with such a secret. Empty: no such word."""
    digits: int = 0
    """A text with such a secret has at least this many digits."""
    signs: str = ""
    """One of these characters is in every text with such a secret. Empty: no such character."""
    separated: bool = False
    """Whether every such text has a character that is no ASCII letter and no digit, as between a name and its value."""
