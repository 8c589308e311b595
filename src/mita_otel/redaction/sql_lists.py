"""Where a statement lists values: in `VALUES (…), (…)` and `IN (…)`, where double quotes hold no name."""

from __future__ import annotations

import re
from typing import Final

_PART: Final = re.compile(r"\w+|[()]")
_OPENS: Final = frozenset({"values", "in"})


class ValueLists:
    """Follows a statement, and knows whether it is inside a list of values."""

    def __init__(self) -> None:
        self.inside = False
        """Whether a double-quoted word here would be a value."""
        self._keyword = ""
        self._depth = 0

    def feed(self, text: str) -> None:
        """Read on, over words and signs."""
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
