"""Segments: files of lines that one owner appends to. A line is on the disk before its writer continues."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from mita_otel.spool.folder import SpoolFolder, sync_folder

_logger = logging.getLogger("mita_otel.spool")

_CHUNK: Final = 1 << 20
"""Bytes that are read at once."""


class SegmentWriter:
    """Appends lines to the segments of one owner. Not thread-safe.

    Args:
        folder: The spool's folder.
        owner: The owner's id.
        max_age_s: Seconds after which a segment is sealed.
        max_bytes: Size at which a segment is sealed.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        folder: SpoolFolder,
        owner: str,
        *,
        max_age_s: float,
        max_bytes: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._owner = owner
        self._max_age_s = max_age_s
        self._max_bytes = max_bytes
        self._clock = clock
        self._descriptor: int | None = None
        self._begun_at = 0.0
        self.committed: tuple[int, int] = (0, 0)
        """Number of the current segment, and how many of its bytes are on the disk. Other threads may read it."""
        self._size = 0
        """Bytes of the current segment that the operating system has, if not the disk."""
        self.broken = False
        """Whether the content of the file is unknown. Its owner must stop and start again under another id."""

    def commit(self, lines: bytes, *, to_disk: bool = True) -> None:
        """Append the lines and flush them to the disk: all of them, or none.

        Args:
            lines: Whole lines.
            to_disk: False leaves the flush to `sync`. The lines survive the end of the process, not a power cut.

        Raises:
            OSError: The lines were not written. If that is uncertain, `broken` is set.
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
            self._truncate(descriptor)
            raise
        self._size += len(lines)
        if to_disk:
            self.committed = (self.committed[0], self._size)

    def sync(self) -> None:
        """Flush appended lines to the disk.

        Raises:
            OSError: It is uncertain what the disk holds; `broken` is set.
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
        if self._clock() - self._begun_at >= self._max_age_s or self._size >= self._max_bytes:
            self.seal()

    def seal(self) -> None:
        """Close the segment. The next line starts another one."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):  # `broken` shows it
                self.sync()
            os.close(self._descriptor)
            self._descriptor = None
            self._size = 0
            self.committed = (self.committed[0] + 1, 0)

    def forget(self) -> None:
        """Close a file that a fork inherited. The parent keeps it."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def _begin(self) -> int:
        path = self._folder.segment_path(self._owner, self.committed[0])
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            sync_folder(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor
        self._begun_at = self._clock()
        return descriptor

    def _truncate(self, descriptor: int) -> None:
        # Truncating works on a full disk. After a failed flush the content of the disk is unknown.
        try:
            os.ftruncate(descriptor, self._size)
            os.fsync(descriptor)
        except OSError:
            self.broken = True
            _logger.exception(
                "a failed write could not be undone in the spool %s; its current file is not continued",
                self._folder.path,
            )


def read_lines(path: Path, start: int, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield each line of a segment with the offset after it. The last line may lack its line break.

    Args:
        path: The segment.
        start: Offset in bytes, at the start of a line.
        end: Offset up to which the file is on the disk. None: the end of the file.
    """
    with path.open("rb") as file:
        file.seek(start)
        offset, rest = start, b""
        while True:
            size = _CHUNK if end is None else min(_CHUNK, end - offset - len(rest))
            chunk = file.read(size) if size > 0 else b""
            if not chunk:
                break
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                offset += len(line) + 1
                yield offset, line + b"\n"
        if rest:
            yield offset + len(rest), rest
