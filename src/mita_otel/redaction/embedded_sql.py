"""Statements inside prose, as in `executing INSERT INTO users VALUES ('bob', …)`: their literals, not the prose."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.hit import Finder, Hit

_STATEMENT: Final = re.compile(
    r"\b(?:INSERT INTO|UPDATE [\w.\"`]{1,128} SET|DELETE FROM|SELECT\b(?=[^\n]{1,1024}\bFROM\b)|VALUES ?\()"
    r"|(?i:\binsert into [\w.\"`]{1,128} ?(?:\([^()]{0,512}\) ?)?values)"
)
_LITERAL: Final = re.compile(
    r"(?:[=<>(,]|\b(?:I?LIKE|AND|BETWEEN|LIMIT|OFFSET|THEN|ELSE|INTERVAL|DATE|TIMESTAMP)\b)\s{0,8}"
    r"(?:[EeNnBbXx]?(?P<text>'[^']*(?:''[^']*)*'?)|(?P<number>-?\d[\d.]{0,64})(?!\w))"
)


def find_embedded_literals(text: str) -> Iterator[Hit]:
    """Yield quoted texts and numbers after an operator, a bracket or a comma, from a statement's verb on."""
    verb = _STATEMENT.search(text)
    if verb is None:
        return
    for match in _LITERAL.finditer(text, verb.start()):
        kind = "text" if match["text"] else "number"
        yield Hit(match.start(kind), match.end(kind), "sql")


EMBEDDED_SQL_FINDER: Final = Finder(
    find_embedded_literals, words=("insert into", "update ", "delete from", "select", "values")
)
