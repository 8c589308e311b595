"""What comes to the trail while one looks on, of all processes, each entry once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from mita_otel.audit.reading import AuditEntry, AuditFilter, AuditReader

_LATE: Final = timedelta(minutes=10)
"""An entry may wait in its process's spool for so long, and is shown all the same."""
_MOST: Final = 10_000
_EPOCH: Final = datetime.fromisoformat("1970-01-01T00:00:00+00:00")


class Follower:
    """Returns what is new since the last look.

    Entries reach the database later than they were recorded, each process's in its own time: what is newest by
    its time is not what came last.

    Args:
        reader: Reads the trail. The read has been recorded.
        shown: The entries that have been shown, oldest first.
    """

    def __init__(self, reader: AuditReader, shown: Sequence[AuditEntry]) -> None:
        self._reader = reader
        self._newest = shown[-1].recorded_at if shown else _EPOCH
        self._seen = {_place(one): one.recorded_at for one in shown}
        if shown:
            self._seen |= {
                _place(one): one.recorded_at for one in self._lately() if one.recorded_at <= self._newest
            }

    def newer(self) -> list[AuditEntry]:
        """Return the entries that came since the last time, oldest first."""
        found = [one for one in self._lately() if _place(one) not in self._seen]
        self._seen |= {_place(one): one.recorded_at for one in found}
        self._newest = max([self._newest, *(one.recorded_at for one in found)])
        oldest = self._oldest()
        self._seen = {place: at for place, at in self._seen.items() if at >= oldest}
        return found

    def _oldest(self) -> datetime:
        return max(_EPOCH, self._newest - _LATE)

    def _lately(self) -> list[AuditEntry]:
        since_ns = (self._oldest() - _EPOCH) // timedelta(microseconds=1) * 1000
        return self._reader.unrecorded(AuditFilter(since_ns=since_ns), limit=_MOST)


def _place(entry: AuditEntry) -> tuple[str, int]:
    return entry.chain, entry.sequence
