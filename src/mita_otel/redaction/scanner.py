"""Runs the finders over every view of a text and replaces what they find with markers."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from mita_otel.redaction.finders.hit import Find, Finder, Hit
from mita_otel.redaction.known_secrets import note
from mita_otel.redaction.marker import MARKER, NEVER_SHOWN, Markers
from mita_otel.redaction.views import views

_MIN_LENGTH: Final = 3
_VAGUE: Final = frozenset({"account", "card", "key", "secret"})
"""Rules that yield to a more specific one for the same part of a text."""
_ANYTHING: Final = ("",)
_DIGIT: Final = re.compile("[0-9]")


class Scanner:
    """Replaces what the finders find in a text.

    Args:
        finders: What to find.
        markers: Write the replacements.
    """

    def __init__(self, finders: Sequence[Finder], markers: Markers) -> None:
        self._groups = _groups(finders)
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
            for digits, signs, words, finds in self._groups:
                if digits > count:
                    continue
                for sign in signs:
                    if sign in read:
                        break
                else:
                    continue
                for word in words:
                    if word in lower:
                        break
                else:
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
    """Group the finders by requirement, so that each requirement is checked once."""
    groups: dict[tuple[int, str | tuple[str, ...], tuple[str, ...]], list[Find]] = {}
    for find, words, digits, signs in finders:
        groups.setdefault((digits, signs or _ANYTHING, words or _ANYTHING), []).append(find)
    return tuple((*requirements, tuple(finds)) for requirements, finds in groups.items())


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
