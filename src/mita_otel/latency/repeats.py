"""The same statement many times under one parent (N+1 queries): counted as statements end, in bounded memory."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

_MAX_SCANNED: Final = 4000
_MAX_STATEMENTS: Final = 100
"""Distinct statements of one instrumentation that are counted under one parent. A parent with more is a batch, not a loop."""
_MAX_LAYERS: Final = 4
"""Instrumentations whose statements are counted under one parent."""

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
        self._parents: OrderedDict[int, dict[str, dict[str, list[float]]]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._parents)

    def reset(self) -> None:
        """Forget everything."""
        self._parents = OrderedDict()

    def add(self, parent_id: int, statement: str, duration_ms: float, layer: str = "") -> None:
        """Count a statement under its parent.

        Args:
            parent_id: Id of the parent's span.
            statement: The statement.
            duration_ms: Milliseconds that it took.
            layer: The instrumentation that measured it. SQLAlchemy and its driver may both measure a statement, so the
                counts of several instrumentations are not added.
        """
        shape = shape_of(statement)
        if not shape:
            return
        layers = self._parents.get(parent_id)
        if layers is None:
            layers = self._parents[parent_id] = {}
            if len(self._parents) > self._max_parents:
                self._parents.popitem(last=False)
        if layer not in layers and len(layers) >= _MAX_LAYERS:
            return
        counts = layers.setdefault(layer, {})
        count = counts.get(shape)
        if count is not None:
            count[0] += 1
            count[1] += duration_ms
        elif len(counts) < _MAX_STATEMENTS:
            counts[shape] = [1, duration_ms]

    def take(self, span_id: int) -> Repeats | None:
        """Return the statement that ran most often under a parent that has ended, and forget the parent."""
        layers = self._parents.pop(span_id, None)
        if not layers:
            return None
        counted = (item for counts in layers.values() for item in counts.items())
        shape, (count, total_ms) = max(counted, key=lambda item: item[1])
        return Repeats(shape, int(count), total_ms)
