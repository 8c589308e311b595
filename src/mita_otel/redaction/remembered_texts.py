"""Remembers texts that were judged before: those without a secret, and masked statements."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Final

from mita_otel.redaction.known_secrets import Findings

_LONGEST: Final = 4096
_IN_STATEMENTS: Final = frozenset({"sql", "length"})
"""Rules of what is masked in every statement."""


class BenignTexts:
    """A set of texts in two generations. A text that is not asked for while one generation fills up is forgotten.

    Safe to use from several threads: each step is one operation on a dict, and a lost entry only costs time.

    Args:
        size: Texts in each generation. 0 remembers nothing.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self.young: dict[str, None] = {}
        """The newer generation, for a quick look-up."""
        self._old: dict[str, None] = {}

    def __contains__(self, text: str) -> bool:
        if text in self.young:
            return True
        if text in self._old:
            self.add(text)
            return True
        return False

    def add(self, text: str) -> bool:
        """Remember a text without a secret. Returns True."""
        if len(self.young) >= self._size:
            if not self._size:
                return True
            self._old, self.young = self.young, {}
        self.young[text] = None
        return True

    def __len__(self) -> int:
        return len(self.young) + len(self._old)


class MaskedStatements:
    """Remembers masked statements by a digest of the statement. The statement itself holds literals and is not kept.

    Args:
        mask: Masks a statement: statement, tally, dialect.
        size: Statements in each of two generations. 0 remembers nothing.
    """

    def __init__(self, mask: Callable[[str, Counter[str], str | None], str], size: int) -> None:
        self._mask = mask
        self._size = size
        self._young: dict[bytes, tuple[str, Counter[str]]] = {}
        self._old: dict[bytes, tuple[str, Counter[str]]] = {}

    def mask(self, statement: str, tally: Counter[str], dialect: str | None) -> str:
        """Return the masked statement, and count its literals."""
        if not self._size or len(statement) > _LONGEST:
            return self._mask(statement, tally, dialect)
        identity = f"{dialect}\n{statement}".encode("utf-8", "surrogatepass")
        digest = hashlib.blake2b(identity, digest_size=16).digest()
        known = self._young.get(digest) or self._old.get(digest)
        if known is None:
            counts: Counter[str] = Findings(tally.known) if isinstance(tally, Findings) else Counter()
            known = (self._mask(statement, counts, dialect), Counter(counts))
            if not _IN_STATEMENTS.issuperset(
                counts
            ):  # a secret to look for elsewhere, so it is not remembered here
                tally.update(counts)
                return known[0]
            if len(self._young) >= self._size:
                self._old, self._young = self._young, {}
            self._young[digest] = known
        safe, counts = known
        if not counts:
            return statement
        tally.update(counts)
        return safe
