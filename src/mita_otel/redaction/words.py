"""The words of a name: `cardNumber`, `card_number`, `CARD-NUMBER` and `card.number` are the same two."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_CAMEL: Final = re.compile(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z]+|[A-Z]+|[0-9]+|[^\W\d_A-Za-z]+")
_PLAIN: Final = re.compile(r"[^\W_]+")

Words = tuple[str, ...]


def split_words(name: str) -> Words:
    """Return the words of a name in lower case, cut at separators, capitals and digits."""
    return tuple(word.lower() for word in _CAMEL.findall(_ascii(name)))


def split_parts(name: str) -> Words:
    """Return the parts of a name in lower case, cut at separators only: `passWord` is one part."""
    return tuple(part.lower() for part in _PLAIN.findall(_ascii(name)))


def _ascii(name: str) -> str:
    return name if name.isascii() else unicodedata.normalize("NFKC", name)
