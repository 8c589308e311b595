"""Spool files are written atomically, and only durable ones are flushed to disk."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mita_otel.spool import write_file


@pytest.fixture
def flushed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files and folders that are flushed to the disk."""
    names: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        names.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return names


def test_a_durable_file_is_flushed_and_then_its_folder(tmp_path: Path, flushed: list[str]) -> None:
    write_file(tmp_path / "one", b"content", durable=True)
    assert flushed == ["one.part", tmp_path.name]
    assert (tmp_path / "one").read_bytes() == b"content"


def test_a_file_that_is_not_durable_is_not_flushed(tmp_path: Path, flushed: list[str]) -> None:
    write_file(tmp_path / "one", b"content", durable=False)
    assert flushed == []
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_only_the_owner_may_read_a_file(tmp_path: Path) -> None:
    write_file(tmp_path / "one", b"content", durable=False)
    assert (tmp_path / "one").stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("step", ["open", "write", "fsync", "rename"])
def test_a_failed_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path if step == "rename" else os, step, fail)
    with pytest.raises(OSError, match="No space left"):
        write_file(tmp_path / "one", b"content", durable=True)
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_partial_writes_are_continued_until_all_bytes_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: real(descriptor, bytes(data[:3])))
    write_file(tmp_path / "one", b"0123456789", durable=False)
    assert (tmp_path / "one").read_bytes() == b"0123456789"
