"""Values that databases, parsers and validators quote when they reject them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.sentence_values import is_mixed
from mita_otel.redaction.finders.value_bounds import ValueShapes
from mita_otel.redaction.marker import MARKER

_QUOTED: Final = r"(?:\"([^\"\n]*)\"|'([^'\n]*)'|`([^`\n]*)`)"
"""A value in quotes; what it says is the last group that matched."""

_DATABASES: Final = (
    # (a text that such a message has in it, in lower case; what it quotes)
    # --- PostgreSQL ------------------------------------------------------------------------------------
    ("invalid input", r"invalid input (?:syntax|value) for (?:type|enum) [\w \[\]()]{1,64}: \"([^\n]*)\""),
    ("out of range", r"(?:field value out of range: |value (?=\"[^\"\n]*\" is out of range))\"([^\"\n]*)\""),
    ("malformed", r"malformed (?:array|record|range) literal: \"([^\n]*)\""),
    ("query argument", r"invalid input for query argument \$\d{1,4}: ([^\n]*?)(?= \([^()\n]*\)(?:\n|\Z)|\n|\Z)"),
    ("arameters: $", r"[Pp]arameters: (\$\d{1,4} = [^\n]*)"),
    ("near ", r"\bnear \"([^\"\n]*\d[^\"\n]*)\""),
    ("host name", r"host name \"([^\"\n]*)@[^\"@\n]*\""),
    ("missing \"=\"", r"missing \"=\" after \"([^\"\n]*)\""),
    ("not recognized", r"\btime zone \"([^\"\n]*)\" not recognized"),
    ("hexadecimal d", r"invalid hexadecimal d(?:igit|ata)[^:\n]{0,32}: \"([^\"\n]*)\""),
    # --- MySQL, SQLite, SQLAlchemy's log -----------------------------------------------------------------
    ("near '", r"\bnear '([^\n]{0,256}?)'(?= at line \d)"),
    ("unrecognized token", r"unrecognized token: \"([^\n]*)\""),
    ("ncorrect ", r"[Ii]ncorrect [\w() ]{1,32} value: '([^\n]*?)'(?= for |[\"')]|\n|\Z)"),
    ("generated in", r"\[generated in [\d.]{1,12}s\] ([(\[{][^\n]*)"),
    ("cached since", r"\[cached since [\d.]{1,12}s ago\] ([(\[{][^\n]*)"),
    ("[raw sql]", r"\[raw sql\] ([(\[{][^\n]*)"),
    ("[no key", r"\[no key [\d.]{1,12}s\] ([(\[{][^\n]*)"),
    # --- Microsoft SQL Server, Oracle --------------------------------------------------------------------
    ("key value is (", r"duplicate key value is \(([^\n]*?)\)(?=\.|\n|\Z)"),
    ("converting ", r"\bconverting (?:the )?[\w ]{1,40} value '([^'\n]*)' to"),
    ("truncated value", r"[Tt]runcated value: '([^'\n]*)'"),
    ("syntax near", r"[Ii]ncorrect syntax near '([^'\n]*\d[^'\n]*)'"),
    ("character string '", r"after the character string '([^'\n]*)'"),
    ("value containing", r"convert string value containing '([^'\n]*)'"),
    ("column values (", r"with column values \(([^()\n]*)\)"),
    # --- MongoDB, ClickHouse, Redis, DuckDB --------------------------------------------------------------
    ("keyvalue", r"keyValue[\"']?: ?\{([^{}\n]*)\}"),
    ("consideredvalue", rf"consideredValue[\"']?: ?{_QUOTED}"),
    ("parse ", r"(?:[Ff]ailed to|[Cc]annot|[Cc]ould not) parse (?:number|string|value|date|input) '([^'\n]*)'"),
    ("before: '", r"[Cc]annot parse [^\n]{1,64}? before: '([^'\n]*)'"),
    ("args beginning with", r"with args beginning with: ([^\n]*)"),
    ("invalid number", r"ORA-\d{5}: invalid number: '([^'\n]*)'"),
    ("conversion error", r"ORA-\d{5}: [^\n]{0,128}?conversion error[^'\n]{0,64}'([^'\n]*)'"),
    (" cast '", r"\b[Cc](?:annot|ould not) cast '([^'\n]*)' (?:as|to)"),
    ("conversion error: '", r"conversion error: '([^'\n]*)'"),
)  # fmt: skip
_PARSERS: Final = (
    # --- Python: the standard library, Django, jsonschema ------------------------------------------------
    ("invalid literal", rf"invalid literal for \w{{1,16}}\(\)[^:\n]{{0,24}}: b?{_QUOTED}"),
    ("convert string to", rf"could not convert string to \w{{1,16}}: b?{_QUOTED}"),
    ("time data", rf"time data {_QUOTED} does not match"),
    ("data remains", r"unconverted data remains: ([^\n]*)"),
    ("isoformat string", rf"Invalid isoformat string: {_QUOTED}"),
    (" value must be ", rf"{_QUOTED} value must be (?:a|an|either|one)\b"),
    ("valid choice", rf"{_QUOTED} is not a valid choice"),
    ("valid choice", r"Select a valid choice\. ([^\s]{1,256}) is not one of"),
    (" is not of type ", rf"{_QUOTED} is not of type "),
    (" does not match ", rf"(?<!time data ){_QUOTED} does not match "),
    (" is too ", rf"{_QUOTED} is too (?:short|long)\b"),
    ("convert ", r"[Cc](?:annot|ould not) convert (?:string |value )?'([^'\n]*)' to"),
    # --- Oracle: any message ------------------------------------------------------------------------------
    ("ora-", r"ORA-\d{5}: [^'\n]{1,256}'([^'\n]*)'"),
    # --- Go, Rust ----------------------------------------------------------------------------------------
    ("parsing ", rf"\bparsing (?:time )?{_QUOTED}"),
    ("cannot unmarshal", r"cannot unmarshal (?:number|string) ([^\s]{1,256}) into Go"),
    ("invalid ", rf"\binvalid (?:type|value): (?:string|integer|floating point|character) {_QUOTED}"),
    ("found in string", rf"invalid digit found in string: {_QUOTED}"),
    # --- Java, .NET, Dart --------------------------------------------------------------------------------
    ("for input string", rf"For input string: {_QUOTED}"),
    ("from string", rf"from String (?:value )?[(]?{_QUOTED}"),
    ("unrecognized token", r"Unrecognized token '([^'\n]*)'"),
    ("rejected value", r"rejected value \[([^\]\n]*)\]"),
    ("input string", rf"input string {_QUOTED} was not in a correct format"),
    ("radix-", r"Invalid radix-\d{1,2} number[^\n]{0,48}\n([^\n]*)"),
)  # fmt: skip
"""Messages about any text: what they quote is redacted only if it looks like a secret."""
_EMPTY: Final = frozenset({"", "()", "[]", "{}"})
_MIN_NUMBER: Final = 3

_Messages = tuple[tuple[str, re.Pattern[str]], ...]


def _compiled(messages: tuple[tuple[str, str], ...]) -> _Messages:
    return tuple((word, re.compile(pattern)) for word, pattern in messages)


class RejectedValueFinder:
    """Finds what a message says was wrong.

    Args:
        shapes: Which values name something: a date, a version.
    """

    def __init__(self, shapes: ValueShapes) -> None:
        self._shapes = shapes
        self._databases = _compiled(_DATABASES)
        self._parsers = _compiled(_PARSERS)

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        lower = text.lower()
        for word, pattern in self._databases:
            if word in lower:
                yield from _values(pattern, text)
        for word, pattern in self._parsers:
            if word in lower:
                for hit in _values(pattern, text):
                    if self._looks_secret(text[hit.start : hit.end]):
                        yield hit

    def _looks_secret(self, value: str) -> bool:
        if value.isdigit():
            return len(value) >= _MIN_NUMBER
        return is_mixed(value) and " " not in value and not self._shapes.is_named(value)


def _values(pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
    for match in pattern.finditer(text):
        group = match.lastindex or 1
        if match[group] not in _EMPTY and not MARKER.fullmatch(match[group]):
            yield Hit(match.start(group), match.end(group), "input")


def rejected_value_finder(shapes: ValueShapes) -> Finder:
    """Return the finder of rejected values.

    Args:
        shapes: Which values name something.
    """
    words = dict.fromkeys(word for word, _ in (*_DATABASES, *_PARSERS))
    return Finder(RejectedValueFinder(shapes), words=tuple(words), signs=" :")
