"""Files that keep accepted data until it is delivered, also across a crash.

Several processes share one spool folder. Each writer has an id and holds the lock file `ID.lock` while it lives;
the kernel releases the lock however the process ends. Files whose owner is gone are adopted by another process.
The audit trail appends entries to segments; the mobile gateway writes one file per record.
"""

from mita_otel.spool.folder import (
    NO_LOCKS,
    LocksUnavailableError,
    SpoolFolder,
    SpoolLock,
    SpoolSegment,
    locks_available,
    sync_folder,
    write_file,
)
from mita_otel.spool.segments import SegmentWriter, read_lines

__all__ = [
    "NO_LOCKS",
    "LocksUnavailableError",
    "SegmentWriter",
    "SpoolFolder",
    "SpoolLock",
    "SpoolSegment",
    "locks_available",
    "read_lines",
    "sync_folder",
    "write_file",
]
