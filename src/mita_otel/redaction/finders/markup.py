"""Elements of XML, HTML and multipart forms whose name is sensitive."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.value_bounds import ValueShapes, has_digit, is_distinct
from mita_otel.redaction.keys import KeyRules, KeyVerdict
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
_LISTED: Final = re.compile(
    r"\b(?:name|key|(?P<short>k)(?=[\"'])|(?P<field>field|param|parameter))[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?(?P<name>[\w.\-]{1,64})[\"']?,?[ \t]{0,4}\r?\n?[ \t]{0,32}"
    r"[\"']?(?:value|val|(?(field)input|value)|(?(short)v|value))[\"']?[ \t]{0,4}[:=][ \t]{0,4}(?:\"(?P<double>[^\"\n]{1,512})|'(?P<single>[^'\n]{1,512})|(?P<bare>[^\s\"'{}\[\],]{1,512}))"
)
"""A name and its value as two members, as in a list of variables in YAML."""
_SERIALIZED: Final = re.compile(
    r"\bs:\d{1,6}:\\?\"(?P<name>[\w.\-]{1,64})\\?\";(?:s:\d{1,6}:\\?\"|[id]:)(?P<value>[^\\\";]{1,512})"
)
"""A name and its value in PHP's serialized form."""
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
        if "val" in text or "input" in text or '"v"' in text or "'v'" in text:
            yield from self._named(_LISTED, text)
        if "s:" in text:
            yield from self._named(_SERIALIZED, text)
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
            group = match.lastgroup if pattern is _LISTED else "value"
            value = match[group or "value"]
            rule = None if MARKER.match(value) else self._keys.rule_for(match["name"], value)
            if rule:
                yield Hit(*match.span(group or "value"), rule)


_HEAD: Final = re.compile(
    r"^(?P<indent>[ \t]{0,64}(?:- )?)(?P<name>[\"']?[^\W\d][\w.\-]{0,127}[\"']?)[ \t]{0,4}:[ \t]{0,4}"
    r"(?P<style>[|>][+\-\d]{0,2})?[ \t]{0,4}(?:#[^\n]{0,256})?\r?\n",
    re.MULTILINE,
)
_NESTED: Final = re.compile(r"(?P<name>[\"']?[^\W\d][\w.\-]{0,127}[\"']?):[ \t]{1,4}(?=\S)")


class _Line(NamedTuple):
    """A line below a name: the position of its content."""

    start: int
    end: int
    after: int
    """Where the next line starts."""


class YamlFinder:
    """Finds values below sensitive names (YAML 1.2, chapter 8).

    Args:
        keys: Which names are sensitive.
        shapes: Which values are words of a sentence.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes) -> None:
        self._keys = keys
        self._shapes = shapes

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the lines of each block, without their indent, so that YAML stays YAML."""
        done = 0
        for head in _HEAD.finditer(text):
            if head.start() < done:
                continue
            name = head["name"].strip("\"'")
            verdict = self._keys.judge(name)
            if verdict.rule is None:
                continue
            for line in _below(text, head):
                done = line.after
                if head["style"]:
                    yield Hit(line.start, line.end, verdict.rule)
                else:
                    yield from self._value(text, name, verdict, line)

    def opens(self, line: str) -> int | None:
        """Return the indentation of a line that is a sensitive name with a block below; else None."""
        head = _HEAD.match(line)
        found = head is not None and self._keys.judge(head["name"].strip("\"'")).rule is not None
        return len(head["indent"]) if head is not None and found else None

    def _value(self, text: str, name: str, verdict: KeyVerdict, line: _Line) -> Iterator[Hit]:
        """Yield a line's content if it is a value: one word, or one that is quoted, not a sentence."""
        nested = _NESTED.match(text, line.start, line.end)
        if nested:
            name = f"{name}.{nested['name']}"
        start = nested.end() if nested else line.start
        value = text[start : line.end]
        quoted = len(value) > 1 and value[0] in "\"'" and value[-1] == value[0]
        words = value.split()
        is_word = len(words) == 1 and not self._shapes.is_ordinary_word(value)
        if not (quoted or is_word or nested) or (verdict.common and not nested and not is_distinct(value)):
            return
        rule = self._keys.rule_for(name, value)
        if rule:
            yield Hit(start + quoted, line.end - quoted, rule)


def _below(text: str, head: re.Match[str]) -> Iterator[_Line]:
    """Yield the lines that are indented deeper than the name; the items of a list may be at the same depth."""
    least = len(head["indent"])
    position = head.end()
    while position < len(text):
        stop = text.find("\n", position)
        after = len(text) if stop < 0 else stop + 1
        line = text[position:after]
        if not is_below(line, least):
            return
        whole = line.rstrip()
        content = whole.lstrip(" \t").removeprefix("- ").lstrip(" \t")
        if content:
            yield _Line(position + len(whole) - len(content), position + len(whole), after)
        position = after


def is_below(line: str, least: int) -> bool:
    """Return whether a line is indented deeper than `least`, or as deep and an item of a list. An empty one is, too."""
    content = line.lstrip(" \t")
    return not content.strip() or len(line) - len(content) >= least + (not content.startswith("- "))
