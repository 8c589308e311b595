"""Card numbers in scientific notation, as programs write large numbers: `4.111111111111111E+15`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.cards import is_card_number
from mita_otel.redaction.finders.hit import Finder, Hit

_NUMBER: Final = re.compile(r"(?<![\w.])(\d)\.(\d{9,18})[eE]\+?(1[1-8])(?![\w.])")


def find_scientific_cards(text: str) -> Iterator[Hit]:
    """Yield numbers that are whole and a card's; zeros at their end are not written."""
    for match in _NUMBER.finditer(text):
        digits = match[1] + match[2].rstrip("0")
        size = int(match[3]) + 1
        if len(digits) <= size and is_card_number(digits.ljust(size, "0")):
            yield Hit(match.start(), match.end(), "pan")


SCIENTIFIC_CARD_FINDER: Final = Finder(find_scientific_cards, words=("e1", "e+1"), digits=12)
