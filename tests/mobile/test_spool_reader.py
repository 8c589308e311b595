"""The usage of a spool is read without affecting its writer."""

from __future__ import annotations

from pathlib import Path

import pytest

from mita_otel.mobile.spool import spool_usage
from mobile.spool_kit import files, make, record


def test_a_missing_spool_has_no_usage(tmp_path: Path) -> None:
    assert list(spool_usage(tmp_path / "spool")) == []


def test_usage_is_reported_for_each_process(tmp_path: Path) -> None:
    first, second, idle = make(tmp_path), make(tmp_path), make(tmp_path)
    first.put(record(received_s=1000.25), b"x" * 100)
    first.put(record("debug", received_s=900.0), b"x" * 100)
    second.put(record("crash", received_s=2000.0), b"x" * 5000)
    found = sorted(spool_usage(tmp_path / "spool"), key=lambda one: one.records)
    assert [(one.records, one.oldest_s) for one in found] == [(1, 2000.0), (2, 900.0)]
    assert sum(one.bytes for one in found) == sum(path.stat().st_size for path in files(tmp_path))
    assert sum(spool.counts()[1] for spool in (first, second)) == sum(one.bytes for one in found)
    for one in (first, second, idle):
        one.close()


def test_reading_changes_no_file(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.put(record(), b"payload")
    before = sorted(path.name for path in (tmp_path / "spool").rglob("*"))
    list(spool_usage(tmp_path / "spool"))
    assert sorted(path.name for path in (tmp_path / "spool").rglob("*")) == before
    assert spool.take(lambda _: True) is not None
    spool.close()


@pytest.mark.parametrize("name", ["0-what-1.record", "record.record"])
def test_the_age_of_a_file_with_another_name_is_its_modification_time(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "spool" / "process"
    folder.mkdir(parents=True)
    (folder / name).write_bytes(b"xy")
    (folder / "0-1-1.record.part").write_bytes(b"half written")
    (tmp_path / "spool" / "process.lock").touch()
    [found] = spool_usage(tmp_path / "spool")
    assert (found.records, found.bytes, found.oldest_s) == (1, 2, (folder / name).stat().st_mtime)
