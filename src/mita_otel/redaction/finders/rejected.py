"""Messages of PostgreSQL, asyncpg, MySQL, SQLite and SQLAlchemy's log that quote a value, whatever its column."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.marker import MARKER

_REJECTED: Final = (
    # (a word that such a message has in it, where it quotes what)
    ("invalid input", re.compile(r"invalid input (?:syntax|value) for (?:type|enum) [\w \[\]()]{1,64}: \"([^\n]*)\"")),
    ("out of range", re.compile(r"(?:field value out of range: |value (?=\"[^\"\n]*\" is out of range))\"([^\"\n]*)\"")),
    ("malformed", re.compile(r"malformed (?:array|record|range) literal: \"([^\n]*)\"")),
    ("query argument", re.compile(r"invalid input for query argument \$\d{1,4}: ([^\n]*?)(?= \([^()\n]*\)(?:\n|\Z)|\n|\Z)")),
    ("arameters: $", re.compile(r"[Pp]arameters: (\$\d{1,4} = [^\n]*)")),
    ("near ", re.compile(r"\bnear \"([^\"\n]*\d[^\"\n]*)\"")),
    ("near '", re.compile(r"\bnear '([^\n]{0,256}?)'(?= at line \d)")),
    ("unrecognized token", re.compile(r"unrecognized token: \"([^\n]*)\"")),
    ("ncorrect ", re.compile(r"[Ii]ncorrect [\w() ]{1,32} value: '([^\n]*?)'(?= for |\n|\Z)")),
    ("host name", re.compile(r"host name \"([^\"\n]*)@[^\"@\n]*\"")),
    ("missing \"=\"", re.compile(r"missing \"=\" after \"([^\"\n]*)\"")),
    ("generated in", re.compile(r"\[generated in [\d.]{1,12}s\] ([(\[{][^\n]*)")),
    ("cached since", re.compile(r"\[cached since [\d.]{1,12}s ago\] ([(\[{][^\n]*)")),
    ("[raw sql]", re.compile(r"\[raw sql\] ([(\[{][^\n]*)")),
    ("[no key", re.compile(r"\[no key [\d.]{1,12}s\] ([(\[{][^\n]*)")),
)  # fmt: skip
_EMPTY: Final = frozenset({"", "()", "[]", "{}"})


def find_rejected_values(text: str) -> Iterator[Hit]:
    """Yield what a message says was wrong."""
    for word, pattern in _REJECTED:
        if word in text:
            for match in pattern.finditer(text):
                if match[1] not in _EMPTY and not MARKER.fullmatch(match[1]):
                    yield Hit(match.start(1), match.end(1), "input")


REJECTED_FINDER: Final = Finder(
    find_rejected_values, words=tuple(word.lower() for word, _ in _REJECTED), signs=" "
)
