"""A full or failing disk and interrupting signals: the caller gets an error, and the trail continues."""

from __future__ import annotations

import errno
import logging
import os
import signal
from pathlib import Path

import pytest

from audit.kit import changed, kit
from audit.recording import PERMANENT, FullDisk, event, numbers
from mita_otel.audit.errors import AuditWriteError


def test_a_trail_that_cannot_start_raises(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path) as made:
        disk = FullDisk(monkeypatch)
        disk.free_bytes = 0
        with pytest.raises(AuditWriteError, match=r"cannot be started in .*No space left on device"):
            made.trail.start()
        assert not made.trail.health().ok
        assert "No space left" in caplog.text
        disk.free_bytes = None
        made.trail.start()
        assert made.trail.health().ok


def test_a_disk_failure_under_acknowledged_entries_is_an_error_and_starts_a_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, policy=changed(PERMANENT, audit__spool__commit="write")) as made:
        first = made.trail.record(event(1))
        with monkeypatch.context() as patch:
            patch.setattr(
                os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error"))
            )
            assert not made.trail.flush(60)
        assert "Input/output error" in caplog.text
        second = made.trail.record(event(2))
        assert first is not None
        assert second is not None
        assert first.chain != second.chain
        assert made.trail.flush(60)
        assert numbers(made) == [1, 2]


def test_a_full_disk_raises_and_the_chain_continues_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, policy=PERMANENT) as made:
        made.trail.record(event(1))
        disk = FullDisk(monkeypatch)
        disk.free_bytes = 100
        for number in (2, 3, 4):
            with pytest.raises(AuditWriteError, match="No space left on device; it is not in the trail"):
                made.trail.record(event(number))
        assert not made.trail.health().ok
        assert made.trail.health().refused == 3
        assert "No space left" in made.trail.health().error
        assert len([record for record in caplog.records if record.levelno == logging.CRITICAL]) == 1
        disk.free_bytes = None
        made.trail.record(event(5))
        assert made.trail.health().ok
        assert made.trail.flush(60)
        assert numbers(made) == [1, 5]
        # PCI DSS 10.7: the failure is audited, before the first entry that could be written again.
        [(refused, outcome)] = made.rows(
            "json_extract(body, '$.details.refused'), outcome", "event_type = 'audit_failure'"
        )
        assert (refused, outcome) == (3, "failure")
        assert [sequence for (sequence,) in made.rows("sequence")] == list(range(5))


def test_with_on_failure_log_a_failed_record_returns_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kit(tmp_path, policy=changed(audit__on_failure="log")) as made:
        disk = FullDisk(monkeypatch)
        disk.free_bytes = 0
        assert made.trail.record(event(1)) is None
        assert not made.trail.health().ok
        disk.free_bytes = None
        assert made.trail.record(event(2)) is not None


def test_after_a_failed_flush_the_chain_ends_at_the_last_flushed_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync the content on disk is unknown: the file must not be appended to."""
    with kit(tmp_path, policy=PERMANENT) as made:
        first = made.trail.record(event(1))
        monkeypatch.setattr(
            os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error"))
        )
        with pytest.raises(AuditWriteError, match="Input/output error"):
            made.trail.record(event(2))
        monkeypatch.undo()
        second = made.trail.record(event(3))
        assert first is not None
        assert second is not None
        assert first.chain != second.chain
        assert made.trail.flush(60)
        assert set(numbers(made)) >= {1, 3}


def test_a_folder_that_cannot_be_created_raises_and_is_retried(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with kit(tmp_path) as made:
        with pytest.raises(AuditWriteError, match="spool"):
            made.trail.record(event(1))
        (tmp_path / "spool").unlink()
        made.trail.record(event(2))
        assert made.trail.flush(60)
        assert numbers(made) == [2]


def test_an_unreadable_folder_is_reported_in_health(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A readiness probe needs the health result during failures."""

    def refuse(self: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(self))

    with kit(tmp_path) as made:
        made.trail.record(event())
        with monkeypatch.context() as patch:
            patch.setattr(Path, "iterdir", refuse)
            assert made.trail.health().waiting_bytes == 0


def test_unwritable_anchors_are_reported_with_the_fix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with kit(tmp_path) as made:
        made.anchor_path = tmp_path / "file" / "anchors.jsonl"
        made.trail.record(event())
        assert not made.trail.close(60)
        assert f"the anchors {made.anchor_path} cannot be written: " in made.trail.health().error
        assert "MITA_OTEL_AUDIT_ANCHORS" in made.trail.health().error


def test_recording_in_a_signal_handler_raises_and_does_not_hang(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught: list[Exception] = []

    def handle(signum: int, frame: object) -> None:
        try:
            made.trail.record(event(2))
        except AuditWriteError as error:
            caught.append(error)

    previous = signal.signal(signal.SIGUSR1, handle)
    try:
        with kit(tmp_path, policy=PERMANENT) as made:
            made.trail.record(event(1))
            real = os.fsync

            def fsync(descriptor: int) -> None:
                if not caught:
                    signal.raise_signal(signal.SIGUSR1)
                real(descriptor)

            monkeypatch.setattr(os, "fsync", fsync)
            assert made.trail.record(event(3)) is not None
            monkeypatch.undo()
            assert made.trail.flush(60)
            assert numbers(made) == [1, 3]
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert "signal handler" in str(caught[0])
