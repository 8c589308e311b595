"""Redacts texts and database statements: cuts, lexes and scans them."""

from __future__ import annotations

import bisect
from collections import Counter
from typing import Final

from mita_otel.redaction.finders.driver_messages import statements
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.scanner import Scanner
from mita_otel.redaction.sql import comments, mask_literals, quoted_literals

_MARGIN: Final = 512
"""Characters after the cut that are scanned, so that a secret across the cut is found whole."""

CUT: Final = "[redacted:length]"
PARAMETERS: Final = "[redacted:sql]"
_EMPTY: Final = frozenset({"", "()", "[]", "{}"})

Tally = Counter[str]


class Texts:
    """Redacts flat texts.

    Args:
        natural_language: Finds secrets by format and by the names in the text.
        source: The same for a line of source code, where a word without quotes is a variable, not a value.
        shapes: Finds secrets by format only.
        max_text: Characters that are scanned.
        mask_sql: Whether literals of statements are masked.
    """

    def __init__(
        self, *, natural_language: Scanner, source: Scanner, shapes: Scanner, max_text: int, mask_sql: bool
    ) -> None:
        self.natural_language = natural_language
        """Finds secrets in a flat text."""
        self._source = source
        self._shapes = shapes
        self._max_text = max_text
        self._mask_sql = mask_sql

    def text(self, text: str, tally: Tally) -> str:
        """Return a text without its secrets; the same object if it has none."""
        if len(text) > self._max_text:
            return self._cut(text, tally)
        if "[SQL: " in text or "[parameters: " in text:
            return self._with_statements(text, tally)
        return self.natural_language.replace(text, tally)

    def source(self, line: str, tally: Tally) -> str:
        """Return a line of source code without its secret literals."""
        return self._source.replace(line[: self._max_text], tally)

    def sql(self, statement: str, tally: Tally, dialect: str | None) -> str:
        """Return a statement with `?` for its literals; the same object if it has none."""
        if len(statement) > self._max_text:
            tally["length"] += 1
            return self.sql(statement[: self._max_text], tally, dialect) + CUT
        shaped = self._shapes.hits(statement)
        if shaped and self._mask_sql:
            # Before the literals: a key in a comment may contain a number. A string is masked as a whole anyway.
            quoted = quoted_literals(statement, dialect)
            statement = self._shapes.substitute(statement, _apart(shaped, quoted), tally)
        masked = statement
        if self._mask_sql:
            masked, count = mask_literals(statement, dialect)
            tally["sql"] += count
            masked = masked if count else statement
        if "--" in masked or "/*" in masked or "#" in masked:
            masked = self._with_comments(masked, tally, dialect)
        return self._shapes.replace(masked, tally) if shaped else masked

    def _with_comments(self, statement: str, tally: Tally, dialect: str | None) -> str:
        """Return a masked statement with its comments read as natural language."""
        pieces: list[str] = []
        position = 0
        for start, end in comments(statement, dialect):
            pieces += (statement[position:start], self.natural_language.replace(statement[start:end], tally))
            position = end
        return "".join((*pieces, statement[position:])) if pieces else statement

    def _with_statements(self, text: str, tally: Tally) -> str:
        """Return an error message with its statement masked and its parameters redacted as a whole."""
        pieces: list[str] = []
        position = 0
        for start, end, is_sql in statements(text):
            opening = text.rindex("[", position, start)
            pieces += (self.natural_language.replace(text[position:opening], tally), text[opening:start])
            content = text[start:end]
            if is_sql:
                content = self.sql(content, tally, None)
            elif content not in _EMPTY and not MARKER.fullmatch(content):
                tally["sql"] += 1
                content = PARAMETERS
            pieces.append(content)
            position = end
        pieces.append(self.natural_language.replace(text[position:], tally))
        joined = "".join(pieces)
        return text if joined == text else joined

    def _cut(self, text: str, tally: Tally) -> str:
        """Return the start of a text that is too long. A secret across the cut is redacted as a whole."""
        limit = self._max_text
        head = text[: limit + _MARGIN]
        if "[SQL: " in head or "[parameters: " in head:
            tally["length"] += 1
            return self._with_statements(text[:limit], tally) + CUT
        hits: list[Hit] = []
        for hit in self.natural_language.hits(head):
            if hit.start < limit:
                hits.append(hit)
                limit = max(limit, hit.end)
        tally["length"] += 1
        return self.natural_language.substitute(head[:limit], hits, tally) + CUT


def _apart(hits: list[Hit], stretches: list[tuple[int, int]]) -> list[Hit]:
    """Return the hits that do not touch a part. The parts are in order."""
    kept: list[Hit] = []
    for hit in hits:
        before = bisect.bisect_left(stretches, (hit.end, 0)) - 1
        if before < 0 or stretches[before][1] <= hit.start:
            kept.append(hit)
    return kept
