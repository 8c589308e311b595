"""The spool on a slow, full or damaged disk: stored records are complete, refused ones leave no file."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import pytest

from mita_otel.mobile.destinations import DamagedRecordError
from mita_otel.mobile.spool import SpoolFullError
from mobile.spool_kit import ANYTHING, drained, files, make, record


def synced(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    calls: list[str] = []
    real = os.fsync

    def fsync(descriptor: int) -> None:
        calls.append(Path(f"/proc/self/fd/{descriptor}").readlink().suffix)
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    return calls


def test_durable_records_are_flushed_to_disk_before_they_count_as_stored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spool = make(tmp_path)
    spool.put(record("debug"), b"first, which makes the folder")
    calls = synced(monkeypatch)
    spool.put(record("debug"), b"x")
    assert calls == []
    spool.put(record("error"), b"x")
    # The file, then its folder.
    assert calls == [".part", ""]


@pytest.mark.parametrize("where", ["write", "fsync", "rename", "open"])
def test_a_failing_disk_refuses_the_record_and_leaves_no_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    spool = make(tmp_path)
    spool.put(record(), b"before")

    def fail(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path if where == "rename" else os, where, fail)
        with pytest.raises(SpoolFullError, match="No space left"):
            spool.put(record(), b"lost")
    count, size, _ = spool.counts()
    assert count == 1
    assert size == sum(path.stat().st_size for path in files(tmp_path))
    assert list((tmp_path / "spool").rglob("*.part")) == []
    spool.put(record(), b"after")
    assert drained(spool) == [b"before", b"after"]


def test_a_folder_that_cannot_be_created_refuses_the_record(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file is in the way")
    with pytest.raises(SpoolFullError):
        make(tmp_path).put(record(), b"x")


def test_other_users_cannot_read_the_spool(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.put(record(), b"x")
    for path in [tmp_path / "spool", *(tmp_path / "spool").rglob("*")]:
        assert path.stat().st_mode & 0o077 == 0, path


def test_a_damaged_or_missing_file_is_detected_when_read(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.put(record(), b"payload")
    waiting = spool.take(ANYTHING)
    assert waiting is not None
    [path] = files(tmp_path)
    path.write_bytes(path.read_bytes().replace(b"payload", b"PAYLOAD"))
    with pytest.raises(DamagedRecordError):
        spool.read(waiting)
    path.unlink()
    with pytest.raises(DamagedRecordError):
        spool.read(waiting)
