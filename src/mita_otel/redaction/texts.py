"""Redacts texts and database statements: cuts, lexes and scans them."""

from __future__ import annotations

import bisect
import re
from collections import Counter
from typing import Final

from mita_otel.redaction.finders.banking import may_begin_iban
from mita_otel.redaction.finders.driver_messages import statements
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.scanner import Scanner
from mita_otel.redaction.sql import comments, mask_literals, quoted_literals

_MARGIN: Final = 512
"""Characters after the cut that are scanned, so that a secret across the cut is found whole."""

_COMMENT: Final = re.compile(r"(?:^|\s)(?:#|//)\s?(?=[^\"']*$)")
"""The start of a comment in a line of source code. What holds a quote may be a text with that sign."""

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
        line = line[: self._max_text]
        comment = _COMMENT.search(line)
        if comment is None:
            return self._source.replace(line, tally)
        code, text = line[: comment.end()], line[comment.end() :]
        return self._source.replace(code, tally) + self.natural_language.replace(text, tally)

    def sql(self, statement: str, tally: Tally, dialect: str | None, *, is_escaped: bool = False) -> str:
        """Return a statement with `?` for its literals; the same object if it has none."""
        if len(statement) > self._max_text:
            tally["length"] += 1
            return self.sql(statement[: self._max_text], tally, dialect, is_escaped=is_escaped) + CUT
        shaped = self._shapes.hits(statement)
        if shaped and self._mask_sql:
            # Before the literals: a key in a comment may contain a number. A string is masked as a whole anyway.
            quoted = quoted_literals(statement, dialect)
            statement = self._shapes.substitute(statement, _apart(shaped, quoted), tally)
        masked = statement
        if self._mask_sql:
            masked, count = mask_literals(statement, dialect, is_escaped=is_escaped)
            if count:
                tally["sql"] += count
            else:
                masked = statement
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
                content = self.sql(content, tally, None, is_escaped=True)
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


_LONGEST_WITH_IDS: Final = 256
_ONLY: Final = re.compile(r"[A-Za-z0-9_/.\-=&?:]+")
"""Characters of such a text: nothing encoded, no blanks."""
_ID: Final = re.compile(
    r"(?:\A|(?<=[^\d][/=])|(?<=\A[/=]))"
    r"(?:(?:[A-Za-z]{1,8}_)?\d{1,8}|(?=[\d\-]{0,35}[a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"
    r"(?=[/&?](?!\d)|\Z)"
)
"""A whole path segment or value: a short number, also after a prefix, or a UUID. No other number may be next to it."""
_UUID: Final = "0a111111-1111-1111-1111-111111111111"
"""It begins like the tokens of one provider after `1//`: no other UUID looks more like a secret."""
_ONES: Final = str.maketrans("023456789", "1" * 9)


def blank_ids(text: str) -> str:
    """Return the text with the digits of its ids replaced by ones; the same text if it has no id.

    The rules for such short numbers depend on their length. Where a rule allows some numbers, such as a year after
    "password", it does not allow 1111: a blanked text is never less suspicious than the text itself.
    """
    if len(text) > _LONGEST_WITH_IDS or not _ONLY.fullmatch(text):
        return text
    return _ID.sub(_blank, text)


def stands_for_all(blanked: str) -> bool:
    """Return whether the verdict on a blanked text is valid for every text that is blanked to it.

    It is not where digits are part of a longer computed value: an IBAN or Base64.
    """
    return "basic" not in blanked.lower() and not may_begin_iban(blanked)


def _blank(match: re.Match[str]) -> str:
    found = match.group()
    return _UUID if "-" in found else found.translate(_ONES)
