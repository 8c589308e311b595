"""Decoded views of a text: other scripts' digits as ASCII, percent-encoding and escapes undone.

The finders search each view. A view maps each of its characters to its position in the original text, where the
hit is redacted.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from mita_otel.redaction.finders.hit import Hit

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
    """Return the text, character for character, with all digits, blanks, dashes, wide and accented letters in ASCII."""
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
        normal = unicodedata.normalize("NFKD", char)
        is_letter = normal[0].isascii() and all(map(unicodedata.combining, normal[1:]))
        return ord(normal[0]) if is_letter else code


_FOLD: Final = _Fold()
