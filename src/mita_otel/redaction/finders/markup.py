"""Elements of XML, HTML and multipart forms whose name is sensitive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.value_shapes import has_digit
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER

_TAG: Final = re.compile(
    r"(?<!\?P)<(?:[\w\-]+:)?(?P<name>[A-Za-z][\w.\-]*)(?:\s[^<>]*)?(?<!/)>\s{0,16}(?:<!\[CDATA\[)?\s{0,16}(?P<value>[^<\s](?:[^<]*[^<\s])?)(?P<close>\s{0,16}</)?"
)
"""An element's name and its text. The end tag may be missing."""
_NESTED_ELEMENT: Final = re.compile(
    r"<(?:name|key)>(?P<name>[\w.\- ]{1,64})</(?:name|key)>\s{0,16}<(?:value|string)>(?:<string>)?(?P<value>[^<]+)"
)
"""A name and its value as two elements, as in property lists and XML-RPC."""
_ATTRIBUTE: Final = r"(?:name|key|id|type(?==[\"']?password))=\\?[\"']?(?P<name>[\w.\-\[\]]{1,64})\\?[\"']?"
_VALUE: Final = r"value=\\?[\"'](?P<value>[^\"'<>\\]{1,512})"
_BETWEEN: Final = r"(?:\\?[\"'])?(?:\s{1,4}[\w\-]{1,32}(?:=[^\s<>]{0,64})?){0,4}?\s{1,4}"
_ELEMENTS: Final = (
    re.compile(rf"\b{_ATTRIBUTE}{_BETWEEN}{_VALUE}"),
    re.compile(rf"\b{_VALUE}{_BETWEEN}{_ATTRIBUTE}"),
    re.compile(
        r"\b(?:name|key)=[\"'](?P<name>[\w.\-]{1,64})[\"'][^<>]{0,64}>\s{0,16}(?:<value>)?(?P<value>[^<]+)</"
    ),
)
"""Elements that name a value in an attribute."""
_PART: Final = re.compile(
    r"\bname=\"?(?P<name>[^\"\r\n;]{1,128})\"?(?:;[^\r\n]{0,256})?\r?\n(?:[A-Za-z\-]{1,32}:[^\r\n]{0,256}\r?\n){0,4}\r?\n(?P<value>[^\r\n]+)"
)
"""A part of a multipart form."""


class MarkupFinder:
    """Finds the text of sensitive elements.

    Args:
        keys: Which names are sensitive.
    """

    def __init__(self, keys: KeyRules) -> None:
        self._keys = keys

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values, without the tags."""
        if "<" in text:
            yield from self._tags(text)
            yield from self._named(_NESTED_ELEMENT, text)
        if "name=" in text:
            yield from self._named(_PART, text)
        if "value" in text or "=" in text:
            for pattern in _ELEMENTS:
                yield from self._named(pattern, text)

    def _tags(self, text: str) -> Iterator[Hit]:
        """Yield the texts of elements. Without an end tag, only the first word, if it looks like a value."""
        for match in _TAG.finditer(text):
            value = match["value"].removesuffix("]]>")
            if match["close"] is None:
                value = value.split(maxsplit=1)[0]
                if not has_digit(value):
                    continue
            rule = None if MARKER.fullmatch(value) else self._keys.rule_for(match["name"], value)
            if rule:
                yield Hit(match.start("value"), match.start("value") + len(value), rule)

    def _named(self, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
        for match in pattern.finditer(text):
            value = match["value"]
            rule = None if MARKER.fullmatch(value) else self._keys.rule_for(match["name"], value)
            if rule:
                yield Hit(*match.span("value"), rule)
