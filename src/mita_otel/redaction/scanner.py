"""Runs the finders over every view of a text and replaces what they find with markers."""

from __future__ import annotations

import bisect
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Final

from mita_otel.redaction.finders.hit import Find, Finder, Hit
from mita_otel.redaction.known_secrets import note
from mita_otel.redaction.marker import MARKER, NEVER_SHOWN, Markers

_MIN_LENGTH: Final = 3
_VAGUE: Final = frozenset({"account", "card", "key", "secret"})
"""Rules that yield to a more specific one for the same part of a text."""
_ANYTHING: Final[tuple[str, ...]] = ("",)
_DIGIT: Final = re.compile("[0-9]")


class Scanner:
    """Replaces what the finders find in a text.

    Args:
        finders: What to find.
        markers: Write the replacements.
    """

    def __init__(self, finders: Sequence[Finder], markers: Markers) -> None:
        self._groups = _groups(finders)
        self._joined = _groups(
            [one for one in finders if not one.separated and (not one.signs or one.signs.isalnum())]
        )
        """For texts of ASCII letters and digits only."""
        self._markers = markers

    def hits(self, text: str) -> list[Hit]:  # noqa: C901 - the loops are inline because a call for each would double the cost
        """Return the hits in order. They do not touch each other, and none is inside a marker."""
        if len(text) < _MIN_LENGTH:
            return []
        found: list[Hit] = []
        for view in views(text):
            read = view.text
            lower = read.lower()
            count = len(_DIGIT.findall(read))
            checked, is_present = _ANYTHING, True
            for digits, signs, words, finds in (
                self._joined if read.isascii() and read.isalnum() else self._groups
            ):
                if digits > count:
                    continue
                for sign in signs:
                    if sign in read:
                        break
                else:
                    continue
                if words is not checked:
                    checked = words
                    for word in words:
                        if word in lower:
                            is_present = True
                            break
                    else:
                        is_present = False
                if not is_present:
                    continue
                for find in finds:
                    found.extend(view.original(find(read)))
        if not found:
            return found
        kept = (hit for hit in found if hit.end > hit.start and self._markers.mode(hit.rule) != "off")
        return _merge(_outside(text, kept))

    def replace(self, text: str, tally: Counter[str]) -> str:
        """Return the text with markers, and count them; the same object if nothing was found."""
        return self.substitute(text, self.hits(text), tally)

    def substitute(
        self,
        text: str,
        hits: Iterable[Hit],
        tally: Counter[str],
        write: Callable[[str, str], str] | None = None,
    ) -> str:
        """Return the text with a marker for each of the hits, which are in order."""
        write = write or self._markers.write
        pieces: list[str] = []
        position = 0
        for start, end, rule in hits:
            pieces.append(text[position:start])
            secret = text[start:end]
            pieces.append(write(rule, secret))
            note(tally, rule, secret)
            position = end
        if not pieces:
            return text
        pieces.append(text[position:])
        return "".join(pieces)


Group = tuple[int, str | tuple[str, ...], tuple[str, ...], tuple[Find, ...]]
"""Finders with the same requirements: digits, signs, words."""


def _groups(finders: Sequence[Finder]) -> tuple[Group, ...]:
    """Group the finders by requirement. Groups with the same words are neighbours: words are searched for once."""
    groups: dict[tuple[int, str | tuple[str, ...], tuple[str, ...]], list[Find]] = {}
    for find, words, digits, signs, _ in finders:
        groups.setdefault((digits, signs or _ANYTHING, words or _ANYTHING), []).append(find)
    places: dict[tuple[str, ...], tuple[str, ...]] = {}
    for _, _, words in groups:
        places.setdefault(words, words)
    order = {words: place for place, words in enumerate(places)}
    listed = sorted(groups.items(), key=lambda group: order[group[0][2]])
    return tuple((digits, signs, places[words], tuple(finds)) for (digits, signs, words), finds in listed)


def _outside(text: str, hits: Iterable[Hit]) -> list[Hit]:
    """Return the hits that contain more than markers of an earlier redaction."""
    if "[redacted:" not in text:
        return list(hits)
    markers = [match.span() for match in MARKER.finditer(text)]
    kept: list[Hit] = []
    for hit in hits:
        before = bisect.bisect_right(markers, (hit.start, len(text))) - 1
        if before >= 0 and hit.end <= markers[before][1]:
            continue
        if MARKER.sub("", text[hit.start : hit.end]).strip():
            kept.append(hit)
    return kept


def _merge(hits: list[Hit]) -> list[Hit]:
    """Return the hits in order. Those that overlap or touch become one, under the rule of the longest."""
    merged: list[Hit] = []
    widest = 0
    for hit in sorted(hits):
        if merged and hit.start <= merged[-1].end:
            last = merged[-1]
            size = hit.end - hit.start
            rule = last.rule
            stronger = size > widest or (size == widest and last.rule in _VAGUE)
            if (stronger and last.rule not in NEVER_SHOWN) or hit.rule in NEVER_SHOWN:
                rule, widest = hit.rule, size
            merged[-1] = Hit(last.start, max(last.end, hit.end), rule)
        else:
            merged.append(hit)
            widest = hit.end - hit.start
    return merged


_ENTITIES: Final = {
    "amp": "&", "apos": "'", "emsp": " ", "ensp": " ", "gt": ">", "hyphen": "-", "lt": "<", "mdash": "-",
    "minus": "-", "nbsp": " ", "ndash": "-", "quot": '"', "shy": " ", "thinsp": " ",
}  # fmt: skip
_ENCODED: Final = re.compile(
    r"(?:%[0-9A-Fa-f]{2})+|\+(?=%[0-9A-Fa-f]{2})|(?<=%[0-9A-Fa-f]{2})\+"
    r"|(?<!\\)\\+(?:u[0-9A-Fa-f]{4}|x[0-9A-Fa-f]{2}|[0-3][0-7]{2}|[nrt\"'/])"
    r"|&#[0-9]{2,7};|&#[xX][0-9A-Fa-f]{1,6};|&(?:" + "|".join(_ENTITIES) + ");"
    r"|\x1b\[[0-9;]{0,16}[A-Za-z]|\0+"
    r"|[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]+"
)
"""Also invisible characters: terminal colours, the zero bytes of UTF-16."""
_TELLTALES: Final = "%\\&\x1b\0"
_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t"}
_DOTS: Final = frozenset("\u00b7\u2022\u2027\u2219\u22c5\u30fb\uff65")
_QUOTES: Final = {
    **dict.fromkeys("\u201c\u201d\u201e\u201f\u00ab\u00bb\u2033", '"'),
    **dict.fromkeys("\u2018\u2019\u201a\u201b\u2039\u203a\u2032", "'"),
}
"""Typographic quotes."""
_ROUNDS: Final = 5
"""Layers of encoding that are undone: `%2534` is `%34` is `4`."""


class View:
    """A decoded text, and the original position of each of its characters."""

    def __init__(self, text: str, offsets: Sequence[int] | None = None) -> None:
        self.text = text
        self._offsets = offsets

    def original(self, hits: Iterable[Hit]) -> Iterable[Hit]:
        """Return the hits with their positions in the original text."""
        offsets = self._offsets
        if offsets is None:
            return hits
        return [Hit(offsets[start], offsets[end], rule) for start, end, rule in hits]

    def decoded(self) -> View | None:
        """Return the view with one layer of encoding undone, or None if there is none."""
        text = self.text
        if text.isascii():
            for sign in _TELLTALES:
                if sign in text:
                    break
            else:
                return None
        matches = list(_ENCODED.finditer(self.text))
        if not matches:
            return None
        chars: list[str] = []
        offsets: list[int] = []
        last = 0
        for match in matches:
            chars.append(self.text[last : match.start()])
            offsets.extend(range(last, match.start()))
            for char, position in _decode(match):
                chars.append(char)
                offsets.append(position)
            last = match.end()
        chars.append(self.text[last:])
        offsets.extend(range(last, len(self.text) + 1))
        outer = self._offsets
        return View("".join(chars), offsets if outer is None else [outer[i] for i in offsets])


def views(text: str) -> Iterator[View]:
    """Yield the text, then the text with up to five layers of encoding undone."""
    view: View | None = View(fold(text))
    for _ in range(_ROUNDS + 1):
        if view is None:
            return
        yield view
        view = view.decoded()
        if view is not None:
            view.text = fold(view.text)


def fold(text: str) -> str:
    """Return the text, character for character, with all digits, blanks, dashes, quotes, wide and accented letters in ASCII."""
    return text if text.isascii() else text.translate(_FOLD)


def _decode(match: re.Match[str]) -> Iterator[tuple[str, int]]:
    encoded, start = match.group(), match.start()
    if encoded[0] == "%":
        raw = bytes.fromhex(encoded.replace("%", ""))
        position = start
        for char in raw.decode("utf-8", "surrogateescape"):
            yield char, position
            position += 3 * len(char.encode("utf-8", "surrogateescape"))
    elif encoded[0] == "\\":
        escaped = encoded.lstrip("\\")
        if escaped[0].isdigit():
            yield chr(int(escaped, 8)), start
        else:
            yield (chr(int(escaped[1:], 16)) if len(escaped) > 1 else _ESCAPES.get(escaped, escaped)), start
    elif encoded[0] in "\x1b\0" or not encoded.isascii():
        return
    elif encoded == "+":
        yield " ", start
    elif encoded[1] != "#":
        yield _ENTITIES[encoded[1:-1]], start
    else:
        digits = encoded[2:-1]
        code = int(digits[1:], 16) if digits[0] in "xX" else int(digits)
        yield chr(code) if code < 0x110000 else "\N{REPLACEMENT CHARACTER}", start


class _Fold(dict[int, int]):
    """A translation table that is filled character by character."""

    def __missing__(self, code: int) -> int:
        if code < 0x80:
            return code
        char = chr(code)
        category = unicodedata.category(char)
        if category == "Nd":
            return ord("0") + unicodedata.decimal(char)
        if 0xFF01 <= code <= 0xFF5E:
            return code - 0xFEE0
        if category == "Zs":
            return ord(" ")
        if category == "Pd" or code == 0x2212:
            return ord("-")
        if char in _DOTS:
            return ord(".")
        if char in _QUOTES:
            return ord(_QUOTES[char])
        normal = unicodedata.normalize("NFKD", char)
        is_letter = normal[0].isascii() and all(map(unicodedata.combining, normal[1:]))
        return ord(normal[0]) if is_letter else code


_FOLD: Final = _Fold()
