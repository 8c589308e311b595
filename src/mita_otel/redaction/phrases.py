"""Names and values that stand side by side without a sign between them: prose, tuples, options, form parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.hit import Hit
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.quoting import quoted_end

_TAG: Final = re.compile(r"<(?:[\w\-]+:)?([A-Za-z][\w.\-]*)(?:\s[^<>]*)?>([^<]+)</")
_OPTION: Final = re.compile(r"(?<![\w\-])--([A-Za-z][\w\-]+) +(?![-\s])(\S+)")
_TUPLE: Final = re.compile(r"\(b?[\"']([\w.\-]{1,64})[\"'], ?b?(?=[\"'])")
_PART: Final = re.compile(r"\bname=\"([^\"\r\n]{1,128})\"[^\r\n]{0,256}\r?\n\r?\n([^\r\n]+)")
_IS: Final = re.compile(
    r"(?i)(?<![a-z])(?:password|passwd|passphrase|pwd|secret|token|(?:api|access|secret)[ _\-]?key)"
    r"(?: (?:is|was))(?: ?:)? +(?:\"([^\"\n]+)\"|'([^'\n]+)'|(\S*[0-9]\S*))"
)
_NAMED: Final = re.compile(r"(?<![\w.\-])([A-Za-z]+[_\-][\w\-]+) ([A-Za-z0-9+/_\-]{6,})(?!\w|\.\w)")


class PhraseFinder:
    """Finds the values of sensitive names that stand next to them.

    Args:
        keys: Which names are sensitive.
    """

    def __init__(self, keys: KeyRules) -> None:
        self._keys = keys

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        if "</" in text:
            yield from self._named(_TAG, text)
        if "--" in text:
            yield from self._named(_OPTION, text)
        if 'name="' in text:
            yield from self._named(_PART, text)
        if "(" in text:
            yield from self._tuples(text)
        for match in _IS.finditer(text):
            start, end = match.span(match.lastindex or 0)
            yield Hit(start, end - (text[end - 1] in ".,;!?)"), "password")
        for match in _NAMED.finditer(text):
            rule = self._rule(match[1], match[2])
            if rule and any(char.isdigit() for char in match[2]):
                yield Hit(match.start(2), match.end(2), rule)

    def _named(self, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
        for match in pattern.finditer(text):
            rule = self._rule(match[1], match[2])
            if rule:
                yield Hit(match.start(2), match.end(2), rule)

    def _tuples(self, text: str) -> Iterator[Hit]:
        """Yield the second of `('password', 'hunter2')`."""
        for match in _TUPLE.finditer(text):
            quoted = quoted_end(text, match.end())
            if quoted is None or text[quoted[2] : quoted[2] + 1] != ")":
                continue
            rule = self._rule(match[1], text[quoted[0] : quoted[1]])
            if rule:
                yield Hit(quoted[0], quoted[1], rule)

    def _rule(self, name: str, value: str) -> str | None:
        return None if MARKER.fullmatch(value) else self._keys.rule_for(name, value)
