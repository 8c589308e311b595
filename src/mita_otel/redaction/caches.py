"""Remembers texts without secrets and masked statements, so that a repeated one costs a look-up. Bounded; holds no secret."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable
from typing import Final

from mita_otel.redaction.finders.banking import may_begin_iban

_LONGEST: Final = 4096


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
            counts: Counter[str] = Counter()
            known = (self._mask(statement, counts, dialect), counts)
            if len(self._young) >= self._size:
                self._old, self._young = self._young, {}
            self._young[digest] = known
        safe, counts = known
        if not counts:
            return statement
        tally.update(counts)
        return safe


_LONGEST_WITH_IDS: Final = 256
_ONLY: Final = re.compile(r"[A-Za-z0-9_/.\-=&?:]+")
"""Characters of such a text: nothing encoded, no blanks."""
_ID: Final = re.compile(
    r"(?:\A|(?<=[^\d][/=])|(?<=\A[/=]))"
    r"(?:(?:[A-Za-z]{1,8}_)?\d{1,8}|(?=[\d\-]{0,35}[a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"
    r"(?=[/&?](?!\d)|\Z)"
)
"""A whole path segment or value: a short number, also after a prefix, or a UUID. No other number may be next to it."""
_UUID: Final = "0a111111-1111-1111-1111-111111111111"
"""It begins like the tokens of one provider after `1//`: no other UUID looks more like a secret."""
_ONES: Final = str.maketrans("023456789", "1" * 9)


def blank_ids(text: str) -> str:
    """Return the text with the digits of its ids replaced by ones; the same text if it has no id.

    The rules for such short numbers depend on their length. Where a rule allows some numbers, such as a year after
    "password", it does not allow 1111: a blanked text is never less suspicious than the text itself.
    """
    if len(text) > _LONGEST_WITH_IDS or not _ONLY.fullmatch(text):
        return text
    return _ID.sub(_blank, text)


def stands_for_all(blanked: str) -> bool:
    """Return whether the verdict on a blanked text is valid for every text that is blanked to it.

    It is not where digits are part of a longer computed value: an IBAN or Base64.
    """
    return "basic" not in blanked.lower() and not may_begin_iban(blanked)


def _blank(match: re.Match[str]) -> str:
    found = match.group()
    return _UUID if "-" in found else found.translate(_ONES)
