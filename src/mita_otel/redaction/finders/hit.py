"""What a finder finds: a stretch of a text, and the rule that it falls under."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple


class Hit(NamedTuple):
    """A stretch of a text that must not leave."""

    start: int
    end: int
    rule: str


Find = Callable[[str], Iterable[Hit]]
"""Looks for one kind of secret in a text, and yields what it finds in any order. It takes linear time."""


class Finder(NamedTuple):
    """A kind of secret: how to look for it, and what a text has to hold for a look to be worth it."""

    find: Find
    words: tuple[str, ...] = ()
    """One of these is in every text with such a secret, in lower case. None: no such word."""
    digits: int = 0
    """How many digits a text with such a secret has at least."""
    signs: str = ""
    """One of these characters is in every text with such a secret. None: no such character."""
