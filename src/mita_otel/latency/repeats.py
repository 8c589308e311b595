"""The same statement many times under one parent (N+1 queries): counted as statements end, in bounded memory."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_MAX_SCANNED: Final = 4000
_MAX_STATEMENTS: Final = 100
"""Distinct statements that are counted under one parent. A parent with more is a batch, not a loop."""

# Comments may hold a trace's id; literals and the number of placeholders in a list differ from call to call.
_VARYING: Final = re.compile(
    r"(?P<gap>(?:\s++|--[^\n]*+|/\*(?:[^*]++|\*(?!/))*+(?:\*/)?)++)"
    r"|(?P<value>'(?:[^']++|'')*+'?|%\(\w++\)s|%s|\$\d++|(?<![:\w]):\w++|(?<![\w?])\?|(?<![\w$.])\d[\w.]*+)"
)
_TRANSACTION: Final = frozenset({"BEGIN", "START", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "END"})
_LIST: Final = re.compile(r"\?(?:\s?,\s?\?)++")
_ROWS: Final = re.compile(r"\(\?\)(?:\s?,\s?\(\?\))++")


@lru_cache(maxsize=2048)
def shape_of(statement: str) -> str:
    """Return a statement without what differs from call to call: literals, placeholders, comments, lists' lengths.

    Empty for the statements of a transaction: these always repeat.
    """
    shape = _VARYING.sub(_replacement, statement[:_MAX_SCANNED]).strip()
    if shape.partition(" ")[0].rstrip(";").upper() in _TRANSACTION:
        return ""
    return _ROWS.sub("(?)", _LIST.sub("?", shape))


def _replacement(found: re.Match[str]) -> str:
    return "?" if found.lastgroup == "value" else " "


@dataclass(frozen=True, slots=True)
class Repeats:
    """A statement that ran several times under one parent."""

    statement: str
    """Without its values."""
    count: int
    total_ms: float
    """Milliseconds that all of them took."""


class RepeatCounter:
    """Counts equal statements by parent. Not thread-safe.

    Args:
        max_parents: Parents whose statements are counted at a time. One more, and the oldest is forgotten.
    """

    def __init__(self, max_parents: int) -> None:
        self._max_parents = max_parents
        self._parents: OrderedDict[int, dict[str, list[float]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parents)

    def reset(self) -> None:
        """Forget everything."""
        self._parents = OrderedDict()

    def add(self, parent_id: int, statement: str, duration_ms: float) -> None:
        """Count a statement under its parent."""
        shape = shape_of(statement)
        if not shape:
            return
        counts = self._parents.get(parent_id)
        if counts is None:
            counts = self._parents[parent_id] = {}
            if len(self._parents) > self._max_parents:
                self._parents.popitem(last=False)
        count = counts.get(shape)
        if count is not None:
            count[0] += 1
            count[1] += duration_ms
        elif len(counts) < _MAX_STATEMENTS:
            counts[shape] = [1, duration_ms]

    def take(self, span_id: int) -> Repeats | None:
        """Return the statement that ran most often under a parent that has ended, and forget the parent."""
        counts = self._parents.pop(span_id, None)
        if not counts:
            return None
        shape, (count, total_ms) = max(counts.items(), key=lambda item: item[1])
        return Repeats(shape, int(count), total_ms)
