"""Card numbers in other forms: numbers, lists of printed groups, scientific notation."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final

from mita_otel.redaction.encoding import encodable_number
from mita_otel.redaction.finders.card_numbers import is_card_number
from mita_otel.redaction.finders.cards import are_printed_groups
from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.marker import Markers

SMALLEST_CARD: Final = 10**11
_LARGEST_CARD: Final = 10**19
_MOST_PARTS: Final = 19

Tally = Counter[str]


class CardValues:
    """Redacts card numbers that are numbers or lists of groups.

    Args:
        markers: Write the replacements.
    """

    def __init__(self, markers: Markers) -> None:
        self._markers = markers

    def number(self, value: Any, tally: Tally) -> Any:
        """Return a number (int, float, Decimal), or a marker if it is a card's."""
        value = encodable_number(value, tally)
        if isinstance(value, str) or value != value:  # NaN: a Decimal of that kind must not be compared
            return value
        if -SMALLEST_CARD < value < SMALLEST_CARD or not -_LARGEST_CARD < value < _LARGEST_CARD:
            return value
        whole = abs(int(value))
        if whole != abs(value) or not is_card_number(str(whole)):
            return value
        return self._write(str(whole), tally, value)

    def parts(self, members: Sequence[Any], tally: Tally) -> Sequence[Any]:
        """Return the members of a list, or one marker if together they are one card number in its printed groups.

        Only texts: four numbers of four digits are ports or years more often than a card.
        """
        if not 1 < len(members) <= _MOST_PARTS or not all(map(_is_group, members)):
            return members
        joined = "".join(members)
        if not are_printed_groups(tuple(map(len, members))) or not is_card_number(joined):
            return members
        written = self._write(joined, tally, None)
        return members if written is None else [written]

    def companions(self, members: Sequence[Any], tally: Tally) -> Sequence[Any]:
        """Return the members of a list without the expiry date and the security code right behind a card number."""
        safe = list(members)
        for index, member in enumerate(members[:-1]):
            if not _is_group(member) or not is_card_number(member) or self._markers.mode("pan") == "off":
                continue
            for place, rule, shape in ((index + 1, "card", _EXPIRY), (index + 2, "cvv", _CODE)):
                after = members[place] if place < len(members) else None
                if not isinstance(after, str) or not shape.fullmatch(after):
                    break
                if self._markers.mode(rule) != "off":
                    tally[rule] += 1
                    safe[place] = self._markers.write(rule, after)
        return safe

    def _write(self, digits: str, tally: Tally, otherwise: Any) -> Any:
        if self._markers.mode("pan") == "off":
            return otherwise
        tally["pan"] += 1
        return self._markers.write("pan", digits)


_EXPIRY: Final = re.compile(r"(?:0?[1-9]|1[0-2]) ?[/\-] ?(?:20)?\d{2}|(?:0[1-9]|1[0-2])\d{2}")
_CODE: Final = re.compile(r"\d{3,4}")


def _is_group(member: Any) -> bool:
    return isinstance(member, str) and member.isascii() and member.isdigit()


_NUMBER: Final = re.compile(r"(?<![\w.])(\d)\.(\d{9,18})[eE]\+?(1[1-8])(?![\w.])")


def find_scientific_cards(text: str) -> Iterator[Hit]:
    """Yield numbers that are whole and a card's; zeros at their end are not written."""
    for match in _NUMBER.finditer(text):
        digits = match[1] + match[2].rstrip("0")
        size = int(match[3]) + 1
        if len(digits) <= size and is_card_number(digits.ljust(size, "0")):
            yield Hit(match.start(), match.end(), "pan")


SCIENTIFIC_CARD_FINDER: Final = Finder(find_scientific_cards, words=("e1", "e+1"), digits=12)
