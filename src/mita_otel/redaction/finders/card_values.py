"""Card data in other forms: numbers, lists of printed groups, scientific notation, and the data of chips.

Chips send EMV's tags with length and value in hexadecimal, and clear PIN blocks.
Sources: EMV 4.3 Book 3, annexes A and B (tags, tag-length-value); ISO 9564-1 (PIN block formats 0 to 3).
"""

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
_EXPIRY: Final = re.compile(r"(?:0?[1-9]|1[0-2]) ?[/\-] ?(?:20)?\d{2}|(?:0[1-9]|1[0-2])\d{2}")
_CODE: Final = re.compile(r"\d{3,4}")
_NUMBER: Final = re.compile(r"(?<![\w.])(\d)\.(\d{9,18})[eE]\+?(1[1-8])(?![\w.])")
_HEX_RUN: Final = re.compile(r"(?<![0-9A-Za-z])(?:0[xX])?(?P<run>[0-9A-Fa-f]{12,8192})(?![0-9A-Za-z])")
_HEX_GROUPS: Final = re.compile(
    r"(?<![0-9A-Za-z])(?=(?:0x)?[0-9A-Fa-f]{2,40}(?P<sign>, |[ :,\-])(?:0x)?[0-9A-Fa-f]{2,40}(?P=sign))"
    r"(?:(?:0x)?(?:[0-9A-Fa-f]{2}){1,40}(?P=sign)){2,2048}(?:0x)?(?:[0-9A-Fa-f]{2}){1,40}(?![0-9A-Za-z])"
)
"""Bytes, or tags, lengths and values, with signs between them: `5A 08 41 11 …`, `5A:08:41:11:…`."""
_GROUP: Final = re.compile(r"(?<![0-9A-Za-z])(?:0x)?([0-9A-Fa-f]+)")
_TAGS: Final = {
    "57": ("track", re.compile(r"\d{12,19}D\d{7}[0-9]*F?")),
    "5A": ("pan", re.compile(r"\d{12,19}F*")),
    "9F1F": ("track", re.compile(r"[0-9A-F]+")),
    "9F20": ("track", re.compile(r"[0-9A-F]+")),
    "56": ("track", re.compile(r"[0-9A-F]+")),
    "9F6B": ("track", re.compile(r"\d{12,19}D\d{7}[0-9]*F?")),
    "5F24": ("card", re.compile(r"\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")),
    "5F20": ("card", re.compile(r"[0-9A-F]+")),
    "5F34": ("card", re.compile(r"\d\d")),
    "99": ("pin", re.compile(r"[0-9A-F]{16}")),
}
"""Rule and form of the value, by tag."""
_SURE: Final = frozenset({"57", "5A", "9F6B"})
"""Tags whose value shows by itself that a run of hexadecimal digits is chip data."""
_SURE_TAG: Final = re.compile(r"57|5[Aa]|9[Ff]6[Bb]")
_LONGEST: Final = 510
"""Hexadecimal digits of the longest value of such a tag."""
_TAG_AT: Final = re.compile("|".join(sorted(_TAGS, key=len, reverse=True)))
_NAMED_TAG: Final = re.compile(
    r"(?i)(?<![0-9a-z])(?:tag[ _\-]?)?(57|5A|56|5F20|5F24|5F34|9F1F|9F20|9F6B|99)[\"']?[ \t]{0,2}[:=][ \t]{0,2}[\"']?([0-9A-Fa-f]{2,80})(?![0-9A-Za-z])"
)
"""A tag written as a name: `57: 4111…`, `"5A": "…"`, `tag 5F24=…`."""
_CLEAR_PIN_BLOCK: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:0|2)(?=[4-9A-Ca-c])[4-9A-Ca-c](?=\d{4,12}[Ff]+(?![0-9A-Za-z]))[0-9A-Fa-f]{14}(?![0-9A-Za-z])"
)


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


def _is_group(member: Any) -> bool:
    return isinstance(member, str) and member.isascii() and member.isdigit()


def find_scientific_cards(text: str) -> Iterator[Hit]:
    """Yield numbers that are whole and a card's; zeros at their end are not written."""
    for match in _NUMBER.finditer(text):
        digits = match[1] + match[2].rstrip("0")
        size = int(match[3]) + 1
        if len(digits) <= size and is_card_number(digits.ljust(size, "0")):
            yield Hit(match.start(), match.end(), "pan")


SCIENTIFIC_CARD_FINDER: Final = Finder(find_scientific_cards, words=("e1", "e+1"), digits=12)


def find_chip_data(text: str) -> Iterator[Hit]:
    """Yield values of EMV tags, in tag-length-value data and beside the tag's name, and clear PIN blocks."""
    for run in _HEX_RUN.finditer(text) if _SURE_TAG.search(text) else ():
        yield from _tag_length_values(run["run"].upper(), range(run.start("run"), run.end() + 1))
    for groups in _HEX_GROUPS.finditer(text):
        places = [place for group in _GROUP.finditer(text, *groups.span()) for place in range(*group.span(1))]
        yield from _tag_length_values("".join(text[place] for place in places).upper(), places)
    named = list(_NAMED_TAG.finditer(text))
    if any(match[1].upper() in _SURE and _is_form(match[1].upper(), match[2].upper()) for match in named):
        for match in named:
            if _is_form(match[1].upper(), match[2].upper()):
                yield Hit(match.start(2), match.end(2), _TAGS[match[1].upper()][0])
    for match in _CLEAR_PIN_BLOCK.finditer(text):
        yield Hit(match.start(), match.end(), "pin")


CHIP_FINDER: Final = Finder(find_chip_data, digits=6)


def _tag_length_values(run: str, places: Sequence[int]) -> Iterator[Hit]:
    """Yield the values of a run of hexadecimal digits that holds card data. `places` are the digits' positions."""
    found: list[tuple[str, int, int]] = []
    position = 0
    while tag := _TAG_AT.search(run, position):
        start, end = _value(run, tag.end())
        if end > len(run) or end == start or not _is_form(tag.group(), run[start:end]):
            position = tag.start() + 1
            continue
        found.append((tag.group(), start, end))
        position = end
    if any(name in _SURE for name, _, _ in found):
        for name, start, end in found:
            yield Hit(places[start], places[end - 1] + 1, _TAGS[name][0])


def _value(run: str, position: int) -> tuple[int, int]:
    """Return where a value starts and ends whose length is at `position`: one byte, or 81 or 82 and one or two bytes."""
    first = run[position : position + 2]
    bytes_of_length = {"81": 1, "82": 2}.get(first, 0)
    start = position + 2 + 2 * bytes_of_length
    length = run[position + 2 : start] if bytes_of_length else first
    return start, (start + 2 * int(length, 16)) if len(length) >= 2 else len(run) + 1


def _is_form(tag: str, value: str) -> bool:
    """Return whether a value has the form of its tag; a card number also has an issuer and a check digit."""
    if len(value) > _LONGEST or not _TAGS[tag][1].fullmatch(value):
        return False
    return tag not in _SURE or is_card_number(re.split("[DF]", value, maxsplit=1)[0])
