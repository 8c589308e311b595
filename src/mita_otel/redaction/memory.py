"""Remembers texts that hold no secret, so that a repeated one costs a look-up. Bounded; no secret is kept."""

from __future__ import annotations


class BenignTexts:
    """A set of texts in two generations: what was not asked for while one filled up is forgotten.

    Safe to use from several threads: each step is one operation on a dict, and a lost entry only costs time.

    Args:
        size: Texts in each generation. 0 remembers nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._young: dict[str, None] = {}
        self._old: dict[str, None] = {}

    def __contains__(self, text: str) -> bool:
        if text in self._young:
            return True
        if text in self._old:
            self.add(text)
            return True
        return False

    def add(self, text: str) -> None:
        """Remember a text that nothing was found in."""
        if len(self._young) >= self._size:
            if not self._size:
                return
            self._old, self._young = self._young, {}
        self._young[text] = None

    def __len__(self) -> int:
        return len(self._young) + len(self._old)
