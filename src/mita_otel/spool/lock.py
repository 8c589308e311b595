"""A lock file that shows whether the owner of a spool's files is alive."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows, WebAssembly
    fcntl = None  # type: ignore[assignment]


NO_LOCKS: Final = "this system has no file locks (Python's module fcntl is missing)"
"""Why there can be no spool."""


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
