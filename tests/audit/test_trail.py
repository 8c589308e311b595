"""The trail of a process: on the disk before the caller goes on, in the database soon, across forks and ends."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import threading
from pathlib import Path

import pytest

from audit.kit import Kit, changed, kit
from mita_otel import AuditEvent, AuditEventType
from mita_otel.audit import AuditWriteError
from mita_otel.audit.keys import AuditKeys

PERMANENT = changed(audit__mover__delay_ms=3_600_000.0)
"""Nothing is moved unless somebody asks."""


def event(number: int = 0) -> AuditEvent:
    return AuditEvent(event_type="test", user_id=f"u{number}", details={"n": number})


def numbers(made: Kit) -> list[int]:
    return sorted(int(n) for (n,) in made.rows("json_extract(body, '$.details.n')", "event_type = 'test'"))


def fork(child: object) -> int:
    """Run `child` in a fork; return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            child()  # type: ignore[operator]
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must never come back into pytest
            import traceback

            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def test_when_record_returns_the_entry_is_in_the_spool_and_later_in_the_database_once(tmp_path: Path) -> None:
    with kit(tmp_path, policy=PERMANENT) as made:
        receipt = made.trail.record(event())
        assert receipt is not None
        assert made.spooled()[-1].mac == receipt.mac
        assert made.trail.flush(20)
        assert [mac for (mac,) in made.rows("mac")].count(receipt.mac) == 1
        made.close()
        assert made.spooled() == []


def test_a_chain_begins_with_the_policy_and_ends_with_a_stop(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(event())
        made.trail.close(20)
        assert [kind for (kind,) in made.rows("event_type")] == [
            "audit_start", "configuration_change", "test", "audit_stop",
        ]  # fmt: skip
        [(digest,)] = made.rows(
            "json_extract(body, '$.details.policy_sha256')", "event_type = 'configuration_change'"
        )
        assert digest == "0" * 64


def test_a_trail_can_begin_before_there_is_anything_to_tell(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.start()
        made.trail.start()
        made.trail.record(event())
        made.trail.close(20)
        assert [kind for (kind,) in made.rows("event_type")] == [
            "audit_start", "configuration_change", "test", "audit_stop",
        ]  # fmt: skip


def test_a_trail_that_cannot_begin_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path) as made:
        disk = FullDisk(monkeypatch)
        disk.room = 0
        with pytest.raises(AuditWriteError, match=r"cannot be begun in .*No space left on device"):
            made.trail.start()
        assert not made.trail.health().ok
        assert "No space left" in caplog.text
        disk.room = None
        made.trail.start()
        assert made.trail.health().ok


def test_a_trail_that_nobody_uses_leaves_nothing_behind(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        assert made.trail.health().ok
        assert made.trail.close(5)
    assert list(tmp_path.iterdir()) == []


def test_chains_that_end_soon_after_one_another_leave_nothing_in_the_spool(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        for number in range(5):
            made.trail.record(event(number))
            assert made.trail.close(20)
            assert made.spooled() == []
        assert numbers(made) == list(range(5))


def test_after_its_end_another_chain_takes_what_still_comes(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(event(1))
        made.trail.close(20)
        made.trail.record(event(2))
        assert made.trail.flush(20)
        assert numbers(made) == [1, 2]
        assert len({chain for (chain,) in made.rows("chain")}) == 2


@pytest.mark.parametrize("commit", ["group", "entry", "write"])
def test_many_threads_get_a_place_each_and_no_place_twice(tmp_path: Path, commit: str) -> None:
    with kit(
        tmp_path, policy=changed(audit__spool__commit=commit, audit__spool__segment_kilobytes=8)
    ) as made:
        threads = [
            threading.Thread(target=lambda at=at: [made.trail.record(event(at + n)) for n in range(50)])
            for at in range(0, 400, 50)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert made.trail.flush(20)
        assert numbers(made) == list(range(400))
        sequences = [sequence for (sequence,) in made.rows("sequence")]
        assert sequences == list(range(402))


def test_threads_share_flushes_in_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushes = 0
    barrier = threading.Barrier(8)
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal flushes
        flushes += 1
        threading.Event().wait(0.01)  # a disk that takes its time
        real(descriptor)

    def work() -> None:
        barrier.wait()
        for number in range(20):
            made.trail.record(event(number))

    with kit(tmp_path, policy=PERMANENT) as made:
        made.trail.record(event())
        monkeypatch.setattr(os, "fsync", fsync)
        threads = [threading.Thread(target=work) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        monkeypatch.undo()
    assert flushes < 8 * 20 / 2


def test_written_without_a_flush_an_entry_reaches_the_disk_before_the_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kit(tmp_path, policy=changed(PERMANENT, audit__spool__commit="write")) as made:
        made.trail.record(event(1))
        assert made.trail.flush(20)
        flushed: list[int] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(descriptor), real(descriptor)))
        receipt = made.trail.record(event(2))
        assert flushed == []
        assert receipt is not None
        assert made.spooled()[-1].mac == receipt.mac  # whoever kills the process finds it there
        assert made.trail.flush(20)
        assert flushed != []
        assert numbers(made) == [1, 2]


def test_a_disk_that_fails_under_acknowledged_entries_is_a_loud_error_and_another_chain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, policy=changed(PERMANENT, audit__spool__commit="write")) as made:
        first = made.trail.record(event(1))
        with monkeypatch.context() as patch:
            patch.setattr(
                os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.EIO, "Input/output error"))
            )
            assert not made.trail.flush(20)
        assert "Input/output error" in caplog.text
        second = made.trail.record(event(2))
        assert first is not None
        assert second is not None
        assert first.chain != second.chain
        assert made.trail.flush(20)
        assert numbers(made) == [1, 2]


def test_a_coroutine_records_without_holding_up_the_loop(tmp_path: Path) -> None:
    async def main() -> None:
        receipts = await asyncio.gather(*(made.trail.record_async(event(number)) for number in range(20)))
        assert all(receipts)

    with kit(tmp_path) as made:
        asyncio.run(main())
        assert made.trail.flush(20)
        assert numbers(made) == list(range(20))


class FullDisk:
    """Lets `room` bytes through, then says that the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.room: int | None = None
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.room is None:
            return self._write(descriptor, data)
        if self.room == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, data[: self.room])
        self.room -= written
        return written


def test_a_full_disk_is_told_to_the_caller_and_the_chain_goes_on_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, policy=PERMANENT) as made:
        made.trail.record(event(1))
        disk = FullDisk(monkeypatch)
        disk.room = 100
        for number in (2, 3, 4):
            with pytest.raises(AuditWriteError, match="No space left on device; it is not in the trail"):
                made.trail.record(event(number))
        assert not made.trail.health().ok
        assert made.trail.health().refused == 3
        assert "No space left" in made.trail.health().error
        assert len([record for record in caplog.records if record.levelno == logging.CRITICAL]) == 1
        disk.room = None
        made.trail.record(event(5))
        assert made.trail.health().ok
        assert made.trail.flush(20)
        assert numbers(made) == [1, 5]
        # PCI DSS 10.7: the failure is an entry itself, in front of the first that could be written again.
        [(refused, outcome)] = made.rows(
            "json_extract(body, '$.details.refused'), outcome", "event_type = 'audit_failure'"
        )
        assert (refused, outcome) == (3, "failure")
        assert [sequence for (sequence,) in made.rows("sequence")] == list(range(5))


def test_a_policy_may_prefer_a_service_that_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with kit(tmp_path, policy=changed(audit__on_failure="log")) as made:
        disk = FullDisk(monkeypatch)
        disk.room = 0
        assert made.trail.record(event(1)) is None
        assert not made.trail.health().ok
        disk.room = None
        assert made.trail.record(event(2)) is not None


def test_after_a_flush_that_failed_the_chain_ends_where_it_was_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failed fsync nobody knows what the disk holds: nothing may be appended to that file again."""
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
        assert made.trail.flush(20)
        assert set(numbers(made)) >= {1, 3}


def test_a_folder_that_cannot_be_made_is_told_and_tried_again(tmp_path: Path) -> None:
    (tmp_path / "spool").write_text("a file")
    with kit(tmp_path) as made:
        with pytest.raises(AuditWriteError, match="spool"):
            made.trail.record(event(1))
        (tmp_path / "spool").unlink()
        made.trail.record(event(2))
        assert made.trail.flush(20)
        assert numbers(made) == [2]


def test_a_forked_child_has_a_chain_of_its_own(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(event(1))

        def child() -> None:
            made.trail.record(event(2))
            assert made.trail.flush(20)
            made.trail.close(20)

        assert fork(child) == 0
        made.trail.record(event(3))
        assert made.trail.flush(20)
        assert numbers(made) == [1, 2, 3]
        found = made.rows("chain, json_extract(body, '$.process')", "event_type = 'test'")
        assert len({chain for chain, _ in found}) == 2
        assert {process for _, process in found} > {os.getpid()}


def test_a_child_that_is_killed_leaves_its_entries_to_the_others(tmp_path: Path) -> None:
    with kit(tmp_path, policy=changed(PERMANENT, audit__mover__adopt_s=0.001)) as made:
        made.trail.record(event(1))

        def child() -> None:
            made.trail.record(event(2))
            os.kill(os.getpid(), signal.SIGKILL)

        assert fork(child) == -signal.SIGKILL
        assert made.trail.flush(20)
        assert numbers(made) == [1, 2]


def test_a_fork_while_threads_record_loses_nothing(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        stop = threading.Event()
        counts = [0, 0, 0]

        def work(at: int) -> None:
            while not stop.is_set():
                made.trail.record(event(at * 1_000_000 + counts[at]))
                counts[at] += 1

        threads = [threading.Thread(target=work, args=(at,)) for at in range(3)]
        for thread in threads:
            thread.start()
        children = [fork(lambda at=at: made.trail.record(event(9_000_000 + at))) for at in range(5)]
        stop.set()
        for thread in threads:
            thread.join()
        assert children == [0] * 5
        made.trail.close(20)
        with kit(tmp_path) as later:  # whoever starts next takes over what the children left
            later.trail.record(event(8_000_000))
            assert later.trail.flush(20)
            expected = [at * 1_000_000 + n for at in range(3) for n in range(counts[at])]
            assert numbers(later) == sorted([*expected, 8_000_000, *(9_000_000 + at for at in range(5))])


def test_a_signal_handler_that_interrupts_a_write_is_told_and_does_not_hang(
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
            assert made.trail.flush(20)
            assert numbers(made) == [1, 3]
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert "signal handler" in str(caught[0])


def test_without_a_key_one_warning_tells_how_to_make_one(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, keys=AuditKeys(None)) as made:
        made.trail.record(event(1))
        made.trail.close(20)
        made.trail.record(event(2))
    assert [record.levelname for record in caplog.records if "MITA_OTEL_AUDIT_KEY" in record.message] == [
        "WARNING"
    ]


def test_custom_types_and_the_guides_are_recorded_alike(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(AuditEvent(event_type="loan.approve"))
        made.trail.record(AuditEvent(event_type=AuditEventType.DATA_EXPORT))
        assert made.trail.flush(20)
        kinds = [kind for (kind,) in made.rows("event_type")]
        assert kinds[2:] == ["loan.approve", "data_export"]
