"""The spool: where an entry is on the disk before its caller goes on.

A folder holds, for each chain, a lock file that its writer keeps locked while it lives (the kernel lets go of
it however the process ends) and segments `CHAIN.NUMBER.spool` of one line an entry. A segment goes away when
all of it is in the database.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mita_otel.audit.errors import AuditWriteError
from mita_otel.policy.audit import SpoolPolicy

try:
    import fcntl
except ImportError:  # pragma: no cover - a system without POSIX locks
    fcntl = None  # type: ignore[assignment]

_logger = logging.getLogger("mita_otel.audit")

_SEGMENT: Final = re.compile(r"([0-9a-z]{8,64})\.(\d{6,})\.spool\Z")
_LOCK: Final = re.compile(r"([0-9a-z]{8,64})\.lock\Z")


@dataclass(frozen=True, slots=True, order=True)
class Segment:
    """A file of the spool."""

    chain: str
    number: int
    path: Path


class SpoolFolder:
    """The folder. Several processes share it.

    Args:
        path: Made with its parents when it is first needed, readable by its owner alone.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def make(self) -> None:
        """Make the folder if it is missing.

        Raises:
            OSError: It cannot be made.
        """
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self.path.parent)

    def segments(self, chain: str | None = None) -> list[Segment]:
        """Return the segments, of one chain or of all, in order."""
        found = (
            Segment(match.group(1), int(match.group(2)), path)
            for path, match in self._named(_SEGMENT)
            if chain is None or match.group(1) == chain
        )
        return sorted(found)

    def chains(self) -> list[str]:
        """Return the chains that have left anything here, oldest first."""
        locks = {match.group(1) for _, match in self._named(_LOCK)}
        return sorted(locks | {segment.chain for segment in self.segments()})

    def waiting_bytes(self) -> int:
        """Return the size of all segments; 0 where nobody may look: whoever writes there is told why."""
        sizes = 0
        with contextlib.suppress(OSError):
            for segment in self.segments():
                with contextlib.suppress(FileNotFoundError):
                    sizes += segment.path.stat().st_size
        return sizes

    def segment_path(self, chain: str, number: int) -> Path:
        """Return the path of a segment."""
        return self.path / f"{chain}.{number:06d}.spool"

    def lock_path(self, chain: str) -> Path:
        """Return the path of a chain's lock file."""
        return self.path / f"{chain}.lock"

    def _named(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
        try:
            paths = list(self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        for path in paths:
            match = pattern.match(path.name)
            if match:
                yield path, match


class ChainLock:
    """Says that a chain has an owner. Only one process at a time has the lock of a chain."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> ChainLock | None:
        """Return the lock, or None if somebody has it.

        Raises:
            AuditWriteError: This system has no such locks.
            OSError: The file cannot be made.
        """
        if fcntl is None:
            raise AuditWriteError("the audit spool needs the file locks of a POSIX system (fcntl.flock)")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink == 0:  # its owner finished while we waited for the kernel
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def release(self, *, remove: bool) -> None:
        """Let go; with `remove`, nothing is left to own."""
        if self._descriptor is None:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def forget(self) -> None:
        """Close a lock that was inherited over a fork: it stays the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


class SpoolWriter:
    """Appends lines of one chain. Not thread-safe: whoever calls holds a lock.

    Args:
        folder: The folder.
        chain: The chain's id.
        policy: When the next segment is begun.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        chain: str,
        policy: SpoolPolicy,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._chain = chain
        self._policy = policy
        self._clock = clock
        self._descriptor: int | None = None
        self._begun_at = 0.0
        self.committed: tuple[int, int] = (0, 0)
        """Number of the current segment, and how many of its bytes are on the disk. Read from other threads."""
        self._size = 0
        """Bytes of the current segment that the operating system has, if not the disk."""
        self.broken = False
        """Whether it is no longer known what the file holds: then the chain ends, and a new one begins."""

    def commit(self, lines: bytes, *, to_disk: bool = True) -> None:
        """Append the lines and flush them to the disk: all of them, or none.

        Args:
            lines: Whole lines.
            to_disk: False leaves the flush to `sync`. The lines survive the end of the process, not a power cut.

        Raises:
            OSError: None of them is there. If that could not be made sure of, `broken` is set.
        """
        self.seal_if_due()
        descriptor = self._begin() if self._descriptor is None else self._descriptor
        try:
            written = 0
            while written < len(lines):
                written += os.write(descriptor, lines[written:])
            if to_disk:
                os.fsync(descriptor)
        except OSError:
            self._take_back(descriptor)
            raise
        self._size += len(lines)
        if to_disk:
            self.committed = (self.committed[0], self._size)

    def sync(self) -> None:
        """Flush what has been appended to the disk.

        Raises:
            OSError: Nobody knows what the disk holds of it; `broken` is set.
        """
        if self._descriptor is not None and self.committed[1] < self._size:
            try:
                os.fsync(self._descriptor)
            except OSError:
                self.broken = True
                raise
            self.committed = (self.committed[0], self._size)

    def seal_if_due(self) -> None:
        """Seal the segment if it is large or old enough."""
        if self._descriptor is None or not self._size:
            return
        old = self._clock() - self._begun_at >= self._policy.segment_s
        if old or self._size >= self._policy.segment_kilobytes * 1024:
            self.seal()

    def seal(self) -> None:
        """Close the segment: the next line begins another one."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # `broken` says so
                self.sync()
            os.close(self._descriptor)
            self._descriptor = None
            self._size = 0
            self.committed = (self.committed[0] + 1, 0)

    def forget(self) -> None:
        """Close a file that was inherited over a fork: it stays the parent's."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _begin(self) -> int:
        path = self._folder.segment_path(self._chain, self.committed[0])
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            sync_folder(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._begun_at = self._clock()
        return descriptor

    def _take_back(self, descriptor: int) -> None:
        # A full disk has room for a shorter file. After a failed flush nobody knows what the disk holds.
        try:
            os.ftruncate(descriptor, self._size)
            os.fsync(descriptor)
        except OSError:
            self.broken = True
            _logger.exception(
                "the audit spool %s could not be cut back; its chain ends here", self._folder.path
            )


def sync_folder(path: Path) -> None:
    """Flush a folder to the disk, so that a new file's name survives a power cut."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
