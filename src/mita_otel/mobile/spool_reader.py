"""What waits in a spool, of all processes: read from the names of its files, without disturbing who writes them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mita_otel.mobile.spool import SUFFIX


@dataclass(frozen=True, slots=True)
class OnDisk:
    """What waits in the part of the spool that one process has, or had."""

    parcels: int
    bytes: int
    oldest_s: float
    """When the one that waits longest came: seconds since the epoch."""


def on_disk(folder: Path) -> Iterator[OnDisk]:
    """Yield what waits of each process. A spool that is not there yet holds nothing.

    Raises:
        OSError: It cannot be read.
    """
    for part in sorted(folder.iterdir()) if folder.is_dir() else []:
        found = list(_parcels(part)) if part.is_dir() else []
        if found:
            yield OnDisk(len(found), sum(size for size, _ in found), min(came_s for _, came_s in found))


def _parcels(part: Path) -> Iterator[tuple[int, float]]:
    """Yield size and time of coming of each parcel; one that is delivered meanwhile is none."""
    for path in part.glob(f"*{SUFFIX}"):
        with contextlib.suppress(OSError):
            status = path.stat()
            nanoseconds = path.name.split("-")[1:2]
            known = bool(nanoseconds) and nanoseconds[0].isdigit()
            yield status.st_size, int(nanoseconds[0]) / 1e9 if known else status.st_mtime
