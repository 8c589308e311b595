"""Durable files: a new file's content and its name both survive a power cut."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PART_SUFFIX: Final = ".part"
"""Suffix of a file that is still being written."""


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
