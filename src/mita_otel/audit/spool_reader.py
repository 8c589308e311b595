"""Reads segments of the spool: whole lines, however the writer ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from mita_otel.audit.chain import SealedEntry
from mita_otel.audit.keys import AuditKeys

_CHUNK: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Damage:
    """A stretch of a segment that is not an entry."""

    path: Path
    offset: int
    length: int
    torn: bool
    """Whether it is the beginning of a last line, which is what a crash leaves: its caller never went on.
    Anything else means that something is wrong with the disk, or somebody was there."""


def read_lines(path: Path, start: int, end: int | None = None) -> Iterator[tuple[int, bytes]]:
    """Yield each line from `start` with the offset after it; the last one may lack its line break.

    Args:
        path: The segment.
        start: Offset in bytes, at the start of a line.
        end: Offset that is known to be on the disk. None: the end of the file.
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


def read_segment(
    path: Path, keys: AuditKeys, start: int = 0, end: int | None = None
) -> Iterator[tuple[int, SealedEntry | Damage]]:
    """Yield the entries of a segment, and what is not an entry, each with the offset after it.

    A line whose signature is wrong under a known key is damage; under an unknown key it is taken as it is.

    Args:
        path: The segment.
        keys: The keys.
        start: Offset in bytes, at the start of a line.
        end: Offset that is known to be on the disk. None: the end of the file.
    """
    before = start
    for offset, line in read_lines(path, start, end):
        entry = _entry(line, keys)
        yield offset, entry or Damage(path, before, offset - before, torn=not line.endswith(b"\n"))
        before = offset


def _entry(line: bytes, keys: AuditKeys) -> SealedEntry | None:
    try:
        entry = SealedEntry.from_line(line)
    except ValueError:
        return None
    if keys.knows(entry.key_id) and not keys.verify("entry", entry.body, entry.mac, entry.key_id):
        return None
    return entry
