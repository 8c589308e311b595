"""Seed phrases of wallets: twelve words and more that follow their name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit

_PHRASE: Final = re.compile(
    r"(?i:\b(?:seed|mnemonic|recovery|backup|wallet|secret)(?:[ _\-]?(?:seed|phrase|words?|mnemonic)){0,2}\b)"
    r"(?: (?:is|was|are|entered|restored|from|given)){0,3}[\"']?[ \t]{0,4}(?:=>|[:=(\[])?[ \t\"']{0,4}\n?[ \t]{0,8}"
    r"(?P<words>[a-z]{3,8}(?:[ ,]{1,2}[a-z]{3,8}){11,23})(?![\w])"
)
_NOT_IN_LIST: Final = frozenset(
    {
        "and",
        "are",
        "but",
        "could",
        "for",
        "from",
        "had",
        "has",
        "not",
        "our",
        "the",
        "was",
        "were",
        "with",
        "your",
    }
)
"""Words of nearly every sentence of that length; none is in BIP-39's English list."""


def find_seed_phrases(text: str) -> Iterator[Hit]:
    """Yield the words of seed phrases (BIP-39: 12 to 24 words of three to eight letters)."""
    for match in _PHRASE.finditer(text):
        if _NOT_IN_LIST.isdisjoint(re.findall(r"[a-z]+", match["words"])):
            yield Hit(*match.span("words"), "secret")


SEED_PHRASE_FINDER: Final = Finder(find_seed_phrases, words=("seed", "mnemonic", "phrase"))
