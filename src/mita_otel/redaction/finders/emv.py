"""Card data of chips: EMV's tags with length and value in hexadecimal, and clear PIN blocks.

Sources: EMV 4.3 Book 3, annexes A and B (tags, tag-length-value); ISO 9564-1 (PIN block formats 0 to 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final

from mita_otel.redaction.finders.card_numbers import is_card_number
from mita_otel.redaction.finders.hit import Finder, Hit

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
