"""Writes entries to the spool, at their position in the chain, with one flush for many threads."""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import Chain
from mita_otel.audit.draft import Draft
from mita_otel.audit.errors import AuditWriteError
from mita_otel.policy.storage import SpoolPolicy
from mita_otel.spool import LocksUnavailableError, SegmentWriter, SpoolFolder, SpoolLock

_TRIES: Final = 5
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class AuditReceipt:
    """Confirms that an entry is on the disk, with its position in the chain."""

    chain: str
    sequence: int
    mac: str
    """The signature of the entry. Keep it to prove later that the entry existed."""
    recorded_ns: int
    """Nanoseconds since the epoch."""

    @property
    def recorded_at(self) -> datetime:
        """When the entry was recorded, UTC, to the microsecond: the same value as in the entry that is read."""
        return _EPOCH + timedelta(microseconds=self.recorded_ns // 1000)


@dataclass(slots=True)
class _Ticket:
    """One waiting caller."""

    draft: Draft
    receipt: AuditReceipt | None = None
    error: BaseException | None = None


@dataclass(slots=True)
class _Open:
    """The current chain."""

    chain: Chain
    writer: SegmentWriter
    lock: SpoolLock


@dataclass(slots=True)
class WriteState:
    """The outcome of recent writes."""

    refused: int = 0
    """Entries that failed since the last success."""
    since_ns: int = 0
    error: str = ""
    written: int = field(default=0)
    """Entries that this process has written."""


class Committer:
    """Writes entries to the spool; thread-safe.

    Starts a chain with the first entry, and another one after a failure or a fork.

    Args:
        folder: The spool.
        policy: How entries are flushed, and when a segment is sealed.
        keys: The keys.
        opening: Returns the first entries of a new chain.
        closing: Returns the last entry of a chain.
        failure: Returns the entry that reports refused entries, once writing works again.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        policy: SpoolPolicy,
        keys: AuditKeys,
        *,
        opening: Callable[[], Sequence[Draft]],
        closing: Callable[[], Draft],
        failure: Callable[[WriteState], Draft],
        clock_ns: Callable[[], int],
    ) -> None:
        self._folder = folder
        self._policy = policy
        self._keys = keys
        self._opening = opening
        self._closing = closing
        self._failure = failure
        self._clock_ns = clock_ns
        self._open: _Open | None = None
        self.state = WriteState()
        self.abandoned = 0
        """How many chains this process has abandoned. Their entries in the spool must be adopted."""
        self._reset()

    def _reset(self) -> None:
        # Re-entrant, so that a signal handler on the writing thread gets an error instead of a deadlock.
        self._lock = threading.RLock()
        self._writing = False
        self._waiting: deque[_Ticket] = deque()

    def commit(self, draft: Draft) -> AuditReceipt:
        """Return once the entry is on the disk.

        Raises:
            AuditWriteError: It could not be written.
        """
        ticket = _Ticket(draft)
        together = self._policy.commit != "entry"
        if together:
            self._waiting.append(ticket)
        with self._lock:
            if self._writing:
                with contextlib.suppress(ValueError):
                    self._waiting.remove(ticket)
                raise AuditWriteError(
                    "an audit entry cannot be recorded in a signal handler that interrupts the recording of another entry"
                )
            if ticket.receipt is None and ticket.error is None:
                # Entries that arrived during the last write are written together, with one flush.
                batch = [ticket]
                if together:
                    batch = [self._waiting.popleft() for _ in range(len(self._waiting))]
                self._write(batch)
        if ticket.error is not None:
            raise AuditWriteError(
                f"an audit entry could not be written to {self._folder.path}: {_reason(ticket.error)}; "
                "it is not in the trail"
            ) from ticket.error
        if ticket.receipt is None:  # pragma: no cover - `_write` sets one of the two
            raise AuditWriteError("an audit entry was not written")
        return ticket.receipt

    def open(self) -> None:
        """Start a chain with its first entries, if there is none.

        Raises:
            AuditWriteError: They could not be written.
        """
        with self._lock:
            begun = self._open is not None and self._open.chain.head.sequence > 0
            if not begun and not self._writing:
                self._write([])
                if self.state.error:
                    raise AuditWriteError(
                        f"the audit trail cannot be started in {self._folder.path}: {self.state.error}"
                    )

    @property
    def position(self) -> tuple[str, tuple[int, int]] | None:
        """The current chain, its current segment, and how many bytes of that are on the disk."""
        current = self._open
        return None if current is None else (current.chain.id, current.writer.committed)

    def settle(self) -> None:
        """Flush entries to the disk, and seal a segment that is old enough although no entry arrives.

        Raises:
            OSError: The disk failed after entries were acknowledged (only possible with `commit = "write"`).
        """
        with self._lock:
            if self._open is None or self._writing:
                return
            try:
                self._open.writer.sync()
            except OSError:
                self._abandon()
                raise
            self._open.writer.seal_if_due()

    def close(self) -> str | None:
        """End the chain with its last entry. Later entries start another chain.

        Returns:
            The chain's id, or None if there was none.
        """
        with self._lock:
            current = self._open
            if current is None or self._writing:
                return None
            ticket = _Ticket(self._closing())
            self._write([ticket])
            self._abandon()
            return current.chain.id

    def abandon(self) -> None:
        """Abandon the chain as it is. Its entries in the spool are adopted."""
        with self._lock:
            self._abandon()

    def forget(self) -> None:
        """Reset the state in a forked child. The parent keeps the chain and its files."""
        if self._open is not None:
            self._open.writer.forget()
            self._open.lock.forget()
            self._open = None
        self.state = WriteState()
        self._reset()

    def _write(self, batch: Sequence[_Ticket]) -> None:
        self._writing = True
        try:
            self._write_all(batch)
        except BaseException as error:
            for ticket in batch:
                ticket.error = error
            self.state.refused += len(batch)
            self.state.since_ns = self.state.since_ns or self._clock_ns()
            self.state.error = _reason(error)
            if not isinstance(error, OSError) or (self._open is not None and self._open.writer.broken):
                self._abandon()
            if not isinstance(error, Exception):
                raise
        finally:
            self._writing = False

    def _write_all(self, batch: Sequence[_Ticket]) -> None:
        begins = self._open is None
        current = self._open or self._begin()
        before = list(self._opening()) if begins or current.chain.head.sequence == 0 else []
        if self.state.refused:
            before.append(self._failure(self.state))
        place = current.chain.head
        lines: list[bytes] = []
        receipts: list[AuditReceipt] = []
        for draft in [*before, *(ticket.draft for ticket in batch)]:
            entry, following = current.chain.seal(draft, place)
            lines.append(entry.line())
            receipts.append(
                AuditReceipt(current.chain.id, place.sequence, entry.mac, following.not_before_ns - 1)
            )
            place = following
        current.writer.commit(b"".join(lines), to_disk=self._policy.commit != "write")
        current.chain.advance(place)
        for ticket, receipt in zip(batch, receipts[len(before) :], strict=True):
            ticket.receipt = receipt
        self.state = WriteState(written=self.state.written + len(lines))

    def _begin(self) -> _Open:
        self._folder.create()
        # A process that adopts chains may take the lock between the creation of its file and our lock.
        for _ in range(_TRIES):
            chain = Chain(self._keys, clock_ns=self._clock_ns)
            lock = self._folder.lock(chain.id)
            if lock is not None:
                break
        else:
            raise AuditWriteError(f"the locks of new chains in {self._folder.path} are taken")
        writer = SegmentWriter(
            self._folder,
            chain.id,
            max_age_s=self._policy.segment_s,
            max_bytes=self._policy.segment_kilobytes * 1024,
        )
        self._open = _Open(chain, writer, lock)
        return self._open

    def _abandon(self) -> None:
        if self._open is not None:
            self._open.writer.seal()
            self._open.lock.release(remove=False)
            self._open = None
            self.abandoned += 1


def _reason(error: BaseException) -> str:
    if isinstance(error, LocksUnavailableError):
        return (
            f"{error.strerror}, and the audit spool needs them; run the service on a POSIX system, "
            'or switch the audit trail off: audit.start = "off"'
        )
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error) or type(error).__name__
