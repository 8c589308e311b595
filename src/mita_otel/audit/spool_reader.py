"""Reads the entries of a spool segment, and reports what is damaged in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.chain import SealedEntry
from mita_otel.spool import read_lines


@dataclass(frozen=True, slots=True)
class Damage:
    """A part of a segment that is not an entry."""

    path: Path
    offset: int
    length: int
    truncated: bool
    """Whether it is the start of the last line, as a crash leaves it: that entry was never acknowledged.
    Any other damage points to a faulty disk or to tampering."""


def read_segment(
    path: Path, keys: AuditKeys, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, SealedEntry | Damage]]:
    """Yield the entries and the damaged stretches of a segment, each with the offset after it.

    A line whose signature is wrong under a known key is damaged. Under an unknown key it cannot be checked, and
    counts as an entry.

    Args:
        path: The segment.
        keys: The keys.
        start: Offset in bytes, at the start of a line.
        end: Offset that is known to be on the disk. None: the end of the file.
    """
    before = start
    for offset, line in read_lines(path, start, end):
        entry = _entry(line, keys)
        yield offset, entry or Damage(path, before, offset - before, truncated=not line.endswith(b"\n"))
        before = offset


def _entry(line: bytes, keys: AuditKeys) -> SealedEntry | None:
    try:
        entry = SealedEntry.from_line(line)
    except ValueError:
        return None
    if keys.knows(entry.key_id) and not keys.verify("entry", entry.body, entry.mac, entry.key_id):
        return None
    return entry
