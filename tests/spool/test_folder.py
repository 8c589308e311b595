"""One process adopts the spool files of ended owners, and never those of a live owner."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mita_otel.spool import SpoolFolder, SpoolLock

OWNER = "a" * 32
OTHER = "b" * 32


def refuse(owner: str, error: OSError) -> None:
    raise AssertionError(f"{owner}: {error}")


def test_owners_are_those_with_a_lock_segments_or_a_folder(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    for name in (f"{'1' * 8}.lock", f"{'2' * 8}.000000.spool", "README", f"{'3' * 8}.000000.spool.evidence"):
        (tmp_path / name).touch()
    (tmp_path / ("4" * 8)).mkdir()
    (tmp_path / ("5" * 8)).touch()
    assert folder.owners() == ["1" * 8, "2" * 8, "4" * 8]
    assert SpoolFolder(tmp_path / "missing").owners() == []


def test_segments_are_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    for number in (10, 9, 1_000_000):
        folder.segment_path(OWNER, number).write_bytes(b"12345")
    folder.segment_path(OTHER, 0).touch()
    assert [one.number for one in folder.segments(OWNER)] == [9, 10, 1_000_000]
    assert [one.owner for one in folder.segments()] == [OWNER] * 3 + [OTHER]
    assert folder.waiting_bytes() == 15


def test_the_folder_is_created_for_its_owner_only(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path / "a" / "spool")
    folder.create()
    folder.create()
    assert folder.path.stat().st_mode & 0o077 == 0


def test_files_of_a_live_owner_are_not_adopted(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    lock = folder.lock(OWNER)
    assert lock is not None
    taken: list[str] = []
    assert folder.adopt(lambda owner: bool(taken.append(owner)), own=None, on_error=refuse) == 0
    lock.release(remove=False)
    assert folder.adopt(lambda owner: bool(taken.append(owner)), own=OWNER, on_error=refuse) == 0
    assert folder.adopt(lambda owner: bool(taken.append(owner)), own=None, on_error=refuse) == 1
    assert taken == [OWNER]


KILLED = """
import os, signal, sys
from pathlib import Path
from mita_otel.spool import SpoolFolder
lock = SpoolFolder(Path(sys.argv[1])).lock("a" * 32)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_files_of_a_killed_process_are_adopted(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert done.returncode == -signal.SIGKILL
    folder = SpoolFolder(tmp_path)
    assert folder.owners() == [OWNER]
    assert folder.adopt(lambda owner: True, own=None, on_error=refuse) == 1
    assert folder.owners() == []


def test_the_lock_is_kept_until_no_file_is_left(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    folder.lock_path(OWNER).touch()
    folder.adopt(lambda owner: False, own=None, on_error=refuse)
    assert folder.lock_path(OWNER).exists()
    folder.adopt(lambda owner: True, own=None, on_error=refuse)
    assert not folder.lock_path(OWNER).exists()


def test_an_owner_that_cannot_be_adopted_does_not_block_the_others(tmp_path: Path) -> None:
    folder = SpoolFolder(tmp_path)
    for owner in (OWNER, OTHER):
        folder.lock_path(owner).touch()
    errors: list[str] = []

    def take_over(owner: str) -> bool:
        if owner == OWNER:
            raise PermissionError(13, "Permission denied")
        return True

    assert folder.adopt(take_over, own=None, on_error=lambda owner, _: errors.append(owner)) == 1
    assert errors == [OWNER]
    lock = folder.lock(OWNER)  # released
    assert lock is not None
    lock.release(remove=True)


def test_a_lock_whose_file_was_removed_meanwhile_is_not_acquired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The previous owner finished between open and lock: another process may create the file again."""
    folder = SpoolFolder(tmp_path)
    real = os.open

    def open_and_remove(path: Path, flags: int, mode: int) -> int:
        descriptor = real(path, flags, mode)
        path.unlink()
        return descriptor

    monkeypatch.setattr(os, "open", open_and_remove)
    assert folder.lock(OWNER) is None


def test_a_forked_child_can_leave_the_lock_to_its_parent(tmp_path: Path) -> None:
    lock = SpoolLock.take(tmp_path / "one.lock")
    assert lock is not None
    pid = os.fork()
    if pid == 0:
        lock.forget()
        os._exit(0 if SpoolLock.take(tmp_path / "one.lock") is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert SpoolLock.take(tmp_path / "one.lock") is None
    lock.release(remove=True)
