"""Statements inside prose, as in `executing INSERT INTO users VALUES ('bob', …)`: their literals, not the prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.sql import literals

_STATEMENT: Final = re.compile(
    r"\b(?:INSERT INTO|UPDATE [\w.\"`]{1,128} SET|DELETE FROM|SELECT\b(?=[^\n]{1,1024}\bFROM\b)|VALUES ?\()"
    r"|(?i:\binsert into [\w.\"`]{1,128} ?(?:\([^()]{0,512}\) ?)?values|\bupdate [\w.\"`]{1,128} set\b|\bdelete from [\w.\"`]{1,128} where\b)"
    r"|(?i:\bselect\b(?=[^\n]{1,1024}\bfrom [\w.\"`]{1,128}(?: (?:as )?\w{1,32})? (?:where|join|inner|left|right|group|order|limit)\b))"
)
_QUOTED_LINE: Final = re.compile(
    r"^(?:LINE \d+: +|(?:[^\n]{0,80}?(?:STATEMENT|QUERY|statement|execute [^:\n]{1,64}): +)"
    r"(?=(?i:select|insert|update|delete|with|alter|create|drop|set|call|copy|grant|merge|prepare|explain|do)\b))([^\n]*)",
    re.MULTILINE,
)
"""A line of PostgreSQL's messages or log that quotes a statement."""
_LITERAL: Final = re.compile(
    r"(?:[=<>(,]|\b(?:I?LIKE|AND|BETWEEN|LIMIT|OFFSET|THEN|ELSE|INTERVAL|DATE|TIMESTAMP)\b)\s{0,8}"
    r"(?:[EeNnBbXx]?(?P<text>'[^']*(?:''[^']*)*'?)|(?P<number>-?\d[\d.]{0,64})(?!\w))"
)


def find_embedded_literals(text: str) -> Iterator[Hit]:
    """Yield the literals of statements in a text.

    In a line that quotes a statement that is every literal; in prose quoted texts and numbers after an
    operator, a bracket or a comma, from a statement's verb on.
    """
    for line in _QUOTED_LINE.finditer(text):
        yield from (
            Hit(line.start(1) + start, line.start(1) + end, "sql") for start, end in literals(line[1])
        )
    verb = _STATEMENT.search(text)
    if verb is None:
        return
    for match in _LITERAL.finditer(text, verb.start()):
        kind = "text" if match["text"] else "number"
        yield Hit(match.start(kind), match.end(kind), "sql")


EMBEDDED_SQL_FINDER: Final = Finder(
    find_embedded_literals,
    words=(
        "insert into",
        "update ",
        "delete from",
        "select",
        "values",
        "line ",
        "statement: ",
        "query: ",
        "execute ",
    ),
    signs=" ",
)
