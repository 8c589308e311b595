"""Values in rows: lists in a statement, and the rows that PostgreSQL's COPY reads."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

_COPIED: Final = re.compile(
    r"(?i)\bcopy\s{1,4}[\w.\"]{1,128}\s{0,4}(?:\([^();]{0,512}\)\s{0,4})?from\s{1,4}stdin\b[^;\n]{0,256};?[ \t]*\r?\n(?P<rows>[^\0]{1,32768}?)(?:\r?\n\\\.|\n?\Z)"
)
"""The rows that PostgreSQL's `COPY … FROM stdin` reads."""


def copied_rows(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of the rows behind each `COPY … FROM stdin`."""
    if "stdin" in text or "STDIN" in text:
        for match in _COPIED.finditer(text):
            yield match.span("rows")


_PART: Final = re.compile(r"\w+|[()]")
_OPENS: Final = frozenset({"values", "in"})


class ValueLists:
    """Follows a statement and reports whether the current position is inside a list of values."""

    def __init__(self) -> None:
        self.inside = False
        """Whether a double-quoted word at this position is a value."""
        self._keyword = ""
        self._depth = 0

    def feed(self, text: str) -> None:
        """Read further words and signs."""
        for match in _PART.finditer(text):
            self._step(match.group().lower())
        self.inside = self._depth == 1 or (self._depth > 1 and self._keyword == "values")

    def _step(self, part: str) -> None:
        if self._depth:
            if part == "select":
                self._keyword, self._depth = "", 0
            else:
                self._depth += (part == "(") - (part == ")")
                if not self._depth and self._keyword == "in":
                    self._keyword = ""
        elif part == "(":
            self._depth = 1 if self._keyword else 0
        elif part != ")":
            self._keyword = part if part in _OPENS else ""
