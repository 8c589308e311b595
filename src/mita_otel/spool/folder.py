"""The spool's folder: durable files, which owners have files in it, and how a live process adopts those of a dead one.

A new file's content and its name both survive a power cut.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_OWNER: Final = r"([0-9a-z]{8,64})"
_SEGMENT: Final = re.compile(_OWNER + r"\.(\d{6,})\.spool\Z")
_LOCK: Final = re.compile(_OWNER + r"\.lock\Z")
_FOLDER: Final = re.compile(_OWNER + r"\Z")
NO_LOCKS: Final = "this system has no file locks (Python's module fcntl is missing)"
"""Why there can be no spool."""
PART_SUFFIX: Final = ".part"
"""Suffix of a file that is still being written."""


@dataclass(frozen=True, slots=True, order=True)
class SpoolSegment:
    """A file of lines that one owner has written."""

    owner: str
    number: int
    path: Path


class SpoolFolder:
    """A folder that several processes share.

    An owner's files are its lock `ID.lock`, and either segments `ID.NUMBER.spool` or a folder `ID`.

    Args:
        path: Created with its parents by `create`; only its owner may read it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def create(self) -> None:
        """Create the folder if it is missing.

        Raises:
            LocksUnavailableError: This system has no file locks.
            OSError: The folder cannot be created.
        """
        if not locks_available():
            raise LocksUnavailableError
        if not self.path.is_dir():
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_folder(self.path.parent)

    def owners(self) -> list[str]:
        """Return the ids of all owners that have files here, sorted.

        Raises:
            OSError: The folder cannot be read.
        """
        found = {match.group(1) for pattern in (_LOCK, _SEGMENT) for _, match in self._named(pattern)}
        found |= {match.group(1) for path, match in self._named(_FOLDER) if path.is_dir()}
        return sorted(found)

    def segments(self, owner: str | None = None) -> list[SpoolSegment]:
        """Return the segments in order, of one owner or of all.

        Raises:
            OSError: The folder cannot be read.
        """
        found = (
            SpoolSegment(match.group(1), int(match.group(2)), path)
            for path, match in self._named(_SEGMENT)
            if owner is None or match.group(1) == owner
        )
        return sorted(found)

    def waiting_bytes(self) -> int:
        """Return the size of all segments; 0 if the folder cannot be read, which its writers report."""
        size = 0
        with contextlib.suppress(OSError):
            for segment in self.segments():
                with contextlib.suppress(FileNotFoundError):
                    size += segment.path.stat().st_size
        return size

    def segment_path(self, owner: str, number: int) -> Path:
        """Return the path of a segment."""
        return self.path / f"{owner}.{number:06d}.spool"

    def lock_path(self, owner: str) -> Path:
        """Return the path of an owner's lock file."""
        return self.path / f"{owner}.lock"

    def lock(self, owner: str) -> SpoolLock | None:
        """Return the lock of an owner, or None if a process holds it.

        Raises:
            OSError: The lock file cannot be created, or this system has no file locks.
        """
        return SpoolLock.take(self.lock_path(owner))

    def adopt(
        self,
        take_over: Callable[[str], bool],
        *,
        own: str | None,
        on_error: Callable[[str, OSError], None],
    ) -> int:
        """Take over the files of each owner whose process is gone.

        Args:
            take_over: Called with an owner's id while its lock is held. Returns whether no file is left.
            own: The id of this process, which is skipped.
            on_error: Called if an owner's files cannot be read or written. The next owner follows unless it raises.

        Returns:
            How many owners were taken over.
        """
        adopted = 0
        for owner in self.owners():
            if owner == own:
                continue
            try:
                adopted += self._adopt(owner, take_over)
            except OSError as error:
                on_error(owner, error)
        return adopted

    def _adopt(self, owner: str, take_over: Callable[[str], bool]) -> bool:
        lock = self.lock(owner)
        if lock is None:
            return False
        finished = False
        try:
            finished = take_over(owner)
        finally:
            lock.release(remove=finished)
        return True

    def _named(self, pattern: re.Pattern[str]) -> Iterator[tuple[Path, re.Match[str]]]:
        try:
            paths = list(self.path.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return
        for path in paths:
            match = pattern.match(path.name)
            if match:
                yield path, match


try:
    import fcntl
except ImportError:  # Windows, WebAssembly
    fcntl = None  # type: ignore[assignment]


class LocksUnavailableError(OSError):
    """This system has no file locks, so a spool cannot distinguish a live owner from a dead one."""

    def __init__(self) -> None:
        super().__init__(errno.ENOTSUP, NO_LOCKS)


def locks_available() -> bool:
    """Return whether this system has file locks."""
    return fcntl is not None


class SpoolLock:
    """The lock of one owner. One process at a time can hold it."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, path: Path) -> SpoolLock | None:
        """Return the lock, or None if another process holds it.

        Raises:
            LocksUnavailableError: This system has no file locks.
            OSError: The lock file cannot be created.
        """
        if not locks_available():
            raise LocksUnavailableError
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if os.fstat(descriptor).st_nlink == 0:  # the owner removed the file between our open and our lock
            os.close(descriptor)
            return None
        return cls(path, descriptor)

    def release(self, *, remove: bool) -> None:
        """Release the lock. With `remove`, delete its file as well: the owner left nothing behind."""
        if self._descriptor is None:
            return
        if remove:
            self._path.unlink(missing_ok=True)
        os.close(self._descriptor)
        self._descriptor = None

    def forget(self) -> None:
        """Close a lock that a fork inherited. The parent keeps it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def sync_folder(path: Path) -> None:
    """Flush a folder to the disk, so that the names of its new files survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_DIRECTORY", 0))
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_file(path: Path, content: bytes, *, durable: bool) -> None:
    """Write a file as a whole: readers see all of it or nothing.

    Args:
        path: The file. Only its owner may read it.
        content: The bytes.
        durable: Whether to flush it to the disk. Otherwise it survives the end of the process, not a power cut.

    Raises:
        OSError: It cannot be written; nothing of it is left.
    """
    part = path.with_name(path.name + PART_SUFFIX)
    try:
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(descriptor, view) :]
            if durable:
                os.fsync(descriptor)
        finally:
            os.close(descriptor)
        part.rename(path)
        if durable:
            sync_folder(path.parent)
    except OSError:
        part.unlink(missing_ok=True)
        path.unlink(missing_ok=True)
        raise
