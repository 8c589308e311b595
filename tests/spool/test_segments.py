"""A segment contains complete lines on disk, or is broken."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from mita_otel.spool import SegmentWriter, SpoolFolder, read_lines

OWNER = "a" * 32


class Writer(SegmentWriter):
    """A writer in a folder, with a clock that can be set."""

    def __init__(self, path: Path, *, max_bytes: int = 1000) -> None:
        self.now = 0.0
        self.folder = SpoolFolder(path)
        super().__init__(self.folder, OWNER, max_age_s=60, max_bytes=max_bytes, clock=lambda: self.now)

    def content(self) -> list[bytes]:
        return [segment.path.read_bytes() for segment in self.folder.segments()]


@pytest.fixture
def writer(tmp_path: Path) -> Writer:
    return Writer(tmp_path)


def test_lines_are_appended_and_counted(writer: Writer) -> None:
    writer.commit(b"one\n")
    writer.commit(b"two\nthree\n")
    assert writer.content() == [b"one\ntwo\nthree\n"]
    assert writer.committed == (0, 14)


def test_a_segment_is_sealed_by_size_and_by_age(tmp_path: Path) -> None:
    writer = Writer(tmp_path, max_bytes=4)
    writer.commit(b"one\n")
    writer.commit(b"2\n")
    writer.now = 60.0
    writer.commit(b"3\n")
    assert writer.content() == [b"one\n", b"2\n", b"3\n"]
    assert writer.committed == (2, 2)


def test_lines_that_are_not_flushed_count_once_they_are(writer: Writer) -> None:
    writer.commit(b"one\n", to_disk=False)
    assert writer.committed == (0, 0)
    writer.sync()
    assert writer.committed == (0, 4)


def test_a_partly_failed_write_leaves_no_line(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    writer.commit(b"one\n")
    real, calls = os.write, iter([True])

    def write(descriptor: int, data: bytes) -> int:
        if next(calls, False):
            return real(descriptor, data[:2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space left"):
            writer.commit(b"two\n")
    assert not writer.broken
    writer.commit(b"three\n")
    assert writer.content() == [b"one\nthree\n"]


def test_a_write_that_cannot_be_undone_breaks_the_segment(
    writer: Writer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    writer.commit(b"one\n")
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="Input/output error"):
            writer.commit(b"two\n")
    assert writer.broken
    assert f"could not be undone in the spool {writer.folder.path}" in caplog.text


def test_lines_are_read_up_to_the_flushed_end(writer: Writer) -> None:
    writer.commit(b"one\ntwo\nhalf")
    [segment] = writer.folder.segments()
    assert list(read_lines(segment.path, 0)) == [(4, b"one\n"), (8, b"two\n"), (12, b"half")]
    assert list(read_lines(segment.path, 4, 8)) == [(8, b"two\n")]
