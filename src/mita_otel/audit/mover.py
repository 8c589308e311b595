"""Moves entries from the spool to the database: in order, once, and out of the spool last."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Final

from mita_otel.audit.anchors import Anchor, AnchorSink
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import SealedEntry
from mita_otel.audit.errors import ChainConflictError, EntriesDiscardedError
from mita_otel.audit.spool_reader import Damage, read_segment
from mita_otel.spool import SpoolFolder, SpoolSegment

if TYPE_CHECKING:
    from mita_otel.audit.ledger import Ledger

_logger = logging.getLogger("mita_otel.audit")

_EVIDENCE: Final = ".evidence"
"""Suffix of a segment that must be investigated. It is never read or deleted automatically."""


@dataclass(slots=True)
class _Progress:
    """How much of a segment was moved."""

    offset: int = 0
    first: int | None = None
    """Sequence of the segment's first entry."""
    last: tuple[int, str] | None = None
    """Sequence and signature of the last entry that is in the database."""
    damaged: bool = False


@dataclass(slots=True)
class ChainProgress:
    """How much of a chain was moved. The caller keeps it between two calls of `move`."""

    segments: dict[int, _Progress] = field(default_factory=dict)
    anchored_at: float = float("-inf")


class Mover:
    """Moves chains. The caller owns the chain: it is the writer's process, or it holds the chain's lock.

    Args:
        folder: The spool.
        ledger: The database.
        keys: Verify the lines of the spool and sign the anchors.
        anchors: Keep the anchors.
        max_batch: Entries of one transaction.
        anchor_every_s: Seconds between two anchors of a growing chain.
        clock: Monotonic seconds.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        ledger: Ledger,
        keys: AuditKeys,
        anchors: Sequence[AnchorSink],
        *,
        max_batch: int,
        anchor_every_s: float,
        clock: Callable[[], float] = time.monotonic,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._folder = folder
        self._ledger = ledger
        self._keys = keys
        self._anchors = anchors
        self._max_batch = max_batch
        self._anchor_every_s = anchor_every_s
        self._clock = clock
        self._clock_ns = clock_ns
        self._said: set[str] = set()
        """Messages that were logged about files of other users."""

    def move(self, chain: str, progress: ChainProgress, committed: tuple[int, int] | None = None) -> None:
        """Move all entries of a chain that are on the disk.

        Args:
            chain: Its id.
            progress: How much was moved before.
            committed: The writer's current segment, and how many of its bytes are on the disk. None: the writer is
                gone, so that every segment is complete.

        Raises:
            StoreUnavailableError: The database does not answer. `progress` keeps what was moved.
            OSError: The spool or the anchors cannot be read or written.
            ChainConflictError: The database has different entries at the positions of the current segment.
            EntriesDiscardedError: The database confirmed entries, but does not have them.
        """
        for segment in self._folder.segments(chain):
            final = committed is None or segment.number < committed[0]
            if committed is not None and segment.number > committed[0]:
                break
            state = progress.segments.setdefault(segment.number, _Progress())
            try:
                end = None if final or committed is None else committed[1]
                self._move_segment(segment, state, end, adopted=committed is None)
            except ChainConflictError as conflict:
                _logger.critical("%s; the segment is kept as evidence", conflict)
                self._set_aside(segment)
                if not final:
                    raise  # the writer must start another chain
                continue
            if final:
                self._finish(segment, state)
                del progress.segments[segment.number]
                progress.anchored_at = self._clock()
            elif state.last and self._clock() - progress.anchored_at >= self._anchor_every_s:
                self._anchor(chain, state.last)
                progress.anchored_at = self._clock()

    def adopt(self, own: str | None = None) -> int:
        """Move the chains of processes that have ended.

        Args:
            own: The chain of this process, which is skipped.

        Returns:
            How many chains were adopted.

        Raises:
            EntriesDiscardedError: The database does not keep the entries of a chain, which stays in the spool.
        """
        discarded: list[EntriesDiscardedError] = []

        def take_over(chain: str) -> bool:
            try:
                self.move(chain, ChainProgress())
            except EntriesDiscardedError as error:  # it may concern this chain only
                discarded.append(error)
                return False
            return not self._folder.segments(chain)

        adopted = self._folder.adopt(take_over, own=own, on_error=self._cannot_take_over)
        if discarded:
            raise discarded[0]
        return adopted

    def _cannot_take_over(self, chain: str, error: OSError) -> None:
        if not isinstance(error, PermissionError):
            raise error
        # The files belong to another user (root, say). The other chains are moved all the same.
        message = (
            f"the chain {chain} in the audit spool cannot be taken over: {error}; "
            "run as the owner of its files: mita-otel audit flush"
        )
        if message not in self._said:
            self._said.add(message)
            _logger.critical(message)

    def _move_segment(
        self, segment: SpoolSegment, state: _Progress, end: int | None, *, adopted: bool = False
    ) -> None:
        found = read_segment(segment.path, self._keys, state.offset, end)
        while batch := list(islice(found, self._max_batch)):
            entries = [entry for _, entry in batch if isinstance(entry, SealedEntry)]
            self._ledger.add(entries, may_be_there=adopted)
            self._remember(state, entries)
            for _, damage in batch:
                if isinstance(damage, Damage):
                    self._report(damage, state)
            state.offset = batch[-1][0]

    def _remember(self, state: _Progress, entries: Iterable[SealedEntry]) -> None:
        for entry in entries:
            sequence = int(entry.fields["sequence"])
            state.first = sequence if state.first is None else state.first
            state.last = sequence, entry.mac

    def _report(self, damage: Damage, state: _Progress) -> None:
        if damage.truncated:
            _logger.warning(
                "%s ends with an incomplete entry of %d bytes: its writer was killed before it acknowledged the entry",
                damage.path,
                damage.length,
            )
            return
        state.damaged = True
        _logger.critical(
            "%s is damaged at byte %d (%d bytes); its other entries are moved, and the file is kept as evidence",
            damage.path,
            damage.offset,
            damage.length,
        )

    def _finish(self, segment: SpoolSegment, state: _Progress) -> None:
        """Delete a segment, once all of its entries were read back from the database.

        Raises:
            EntriesDiscardedError: The database does not keep them. The segment stays.
        """
        if state.first is not None and state.last is not None:
            self._read_back(segment)
            self._anchor(segment.owner, state.last)
        if state.damaged:
            self._set_aside(segment)
        else:
            segment.path.unlink(missing_ok=True)

    def _read_back(self, segment: SpoolSegment) -> None:
        """Check that the database has each entry of a segment, and add again those that vanished."""
        entries = (
            entry for _, entry in read_segment(segment.path, self._keys) if isinstance(entry, SealedEntry)
        )
        while batch := list(islice(entries, self._max_batch)):
            missing = self._ledger.missing(batch)
            if missing:
                _logger.critical(
                    "%d entries of the audit trail vanished from the database after they were committed "
                    "(chain %s, %d to %d); they are added again from the spool",
                    len(missing),
                    segment.owner,
                    missing[0].fields["sequence"],
                    missing[-1].fields["sequence"],
                )
                self._ledger.add(missing, may_be_there=True)

    def _set_aside(self, segment: SpoolSegment) -> None:
        segment.path.rename(segment.path.with_name(segment.path.name + _EVIDENCE))

    def _anchor(self, chain: str, last: tuple[int, str]) -> None:
        anchor = Anchor.sign(
            self._keys, chain=chain, sequence=last[0], mac=last[1], noted_ns=self._clock_ns()
        )
        for sink in self._anchors:
            sink.note(anchor)
