"""What a finder finds: a stretch of a text, and the rule that it falls under."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Protocol


class Hit(NamedTuple):
    """A stretch of a text that must not leave."""

    start: int
    end: int
    rule: str


class Finder(Protocol):
    """Looks for one kind of secret in a text. It must take linear time."""

    def __call__(self, text: str) -> Iterable[Hit]:
        """Return what it found, in any order."""
        ...
