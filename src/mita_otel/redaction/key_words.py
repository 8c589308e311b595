"""The words of a name: `cardNumber`, `card_number`, `CARD-NUMBER` and `card.number` are the same two."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection, Iterable
from typing import Final

Words = tuple[str, ...]

_WORD: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_A-Za-z]+")
_PART: Final = re.compile(r"[^\W_]+")
_MAX_GLUED: Final = 40


def split_words(name: str) -> Words:
    """Return the words of a name in lower case, without accents, cut at separators, capitals and digits."""
    return tuple(word.lower() for word in _WORD.findall(without_accents(name)))


def split_parts(name: str) -> Words:
    """Return the parts of a name in lower case, cut at separators only: `passWord` is one part."""
    return tuple(part.lower() for part in _PART.findall(without_accents(name)))


def unglued(word: str, known: Collection[str]) -> Words | None:
    """Return the parts of a word that consists of known words alone, as `cardcvv`, else None."""
    if len(word) > _MAX_GLUED:
        return None
    parts: dict[int, Words] = {0: ()}  # by where the last part ends
    for end in range(1, len(word) + 1):
        for start in range(end - 1, -1, -1):
            if start in parts and word[start:end] in known:
                parts[end] = (*parts[start], word[start:end])
    return parts.get(len(word))


def without_accents(name: str) -> str:
    """Return the name with the base letters of accented ones."""
    if name.isascii():
        return name
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(char for char in decomposed if not unicodedata.category(char).startswith("M"))


def contains(words: Words, part: Words) -> bool:
    """Return whether words occur in a name, next to each other."""
    return bool(part) and any(words[at : at + len(part)] == part for at in range(len(words)))


def stems(names: Iterable[Words]) -> tuple[str, ...]:
    """Return the fewest words of which each name in Latin letters holds one."""
    found: list[str] = []
    for words in sorted((words for words in names if "".join(words).isascii()), key=len):
        if not any(stem in word for stem in found for word in words):
            found.append(max(words, key=len))
    return tuple(sorted(stem for stem in found if not any(other in stem for other in found if other != stem)))
