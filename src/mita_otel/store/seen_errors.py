"""An exception is one error, though a service, its server and its framework all log it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from typing import Any, Final

_MAX: Final = 1024
"""Exceptions that are remembered."""
_SOON_NS: Final = 5_000_000_000
"""A record without a trace is about the exception that was logged in one so shortly before or after."""


class SeenErrors:
    """Lets each exception through once; of several records about it, the one that has an event's id."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def first_of_each(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows that are not another record of an exception that was there before."""
        kept = []
        for row in sorted(rows, key=lambda one: (one["event_id"] is None, one["trace_id"] is None)):
            if row["event_id"] is not None or not self._is_known(row):
                kept.append(row)
            self._remember((row["trace_id"] or "", row["name"], row["message"]), row["occurred_ns"])
        return kept

    def _is_known(self, row: dict[str, Any]) -> bool:
        if row["trace_id"] is not None:
            return (row["trace_id"], row["name"], row["message"]) in self._seen
        at_ns = self._seen.get(("*", row["name"], row["message"]))
        return at_ns is not None and abs(row["occurred_ns"] - at_ns) < _SOON_NS

    def _remember(self, key: tuple[str, str, str], at_ns: int) -> None:
        trace_id, name, message = key
        # One without a trace says nothing about another one without.
        for one in (key, ("*", name, message)) if trace_id else ():
            self._seen[one] = at_ns
            self._seen.move_to_end(one)
        while len(self._seen) > _MAX:
            self._seen.popitem(last=False)
