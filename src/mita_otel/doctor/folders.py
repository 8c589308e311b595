"""Folders: whether something can be kept in one, found out by keeping something."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path


def unusable(folder: Path) -> str:
    """Return why nothing can be kept in a folder; empty: something can. Leaves nothing behind.

    A folder that is not there yet is looked at where it would be made.
    """
    existing = _existing(folder)
    if not existing.is_dir():
        return f"{existing} is no folder"
    try:
        # Rights say little: a disk may be full, or mounted to be read only.
        with tempfile.TemporaryFile(dir=existing) as file:
            file.write(b"mita-otel doctor")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{existing} cannot be written to ({error.strerror or error})"
    return ""


def megabytes_left(folder: Path) -> float:
    """Return how much room the disk of a folder has."""
    return shutil.disk_usage(_existing(folder)).free / 1e6


def lacks_room(folder: Path, left: float, least: float, *, refused: str) -> str:
    """Return what to say where a disk is nearly full; empty: it is not.

    Args:
        folder: What is kept on it.
        left: Megabytes that it has.
        least: Megabytes that it should have: `doctor.min_free_megabytes`.
        refused: What will be refused without room.
    """
    if left >= least:
        return ""
    return (
        f"the disk of {folder} has {left:.0f} MB left, less than doctor.min_free_megabytes; make room before {refused} "
        "are refused"
    )


def _existing(folder: Path) -> Path:
    existing = folder.absolute()
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    return existing
