"""A recorded entry is on disk before `record` returns, and in the database soon after."""

from __future__ import annotations

import asyncio
import os
import threading
from pathlib import Path

import pytest

from audit.kit import changed, kit
from audit.recording import PERMANENT, event, numbers
from mita_otel import AuditEvent, AuditEventType
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.reader import moment
from mita_otel.spool import SpoolLock


def test_an_entry_is_spooled_before_record_returns_and_stored_once(tmp_path: Path) -> None:
    with kit(tmp_path, policy=PERMANENT) as made:
        receipt = made.trail.record(event())
        assert receipt is not None
        assert made.spooled()[-1].mac == receipt.mac
        assert made.trail.flush(60)
        assert [mac for (mac,) in made.rows("mac")].count(receipt.mac) == 1
        made.close()
        assert made.spooled() == []


def test_a_chain_begins_with_the_policy_and_ends_with_a_stop(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(event())
        made.trail.close(60)
        assert [kind for (kind,) in made.rows("event_type")] == [
            "audit_start", "configuration_change", "test", "audit_stop",
        ]  # fmt: skip
        [(digest,)] = made.rows(
            "json_extract(body, '$.details.policy_sha256')", "event_type = 'configuration_change'"
        )
        assert digest == "0" * 64


def test_a_trail_can_be_started_before_the_first_event(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.start()
        made.trail.start()
        made.trail.record(event())
        made.trail.close(60)
        assert [kind for (kind,) in made.rows("event_type")] == [
            "audit_start", "configuration_change", "test", "audit_stop",
        ]  # fmt: skip


def test_an_unused_trail_creates_no_file(tmp_path: Path) -> None:
    with kit(tmp_path, url=f"sqlite:///{tmp_path}/mita-otel.db") as made:
        assert made.trail.health().ok
        assert made.trail.close(5)
    assert list(tmp_path.iterdir()) == []


def test_chains_that_end_in_quick_succession_leave_an_empty_spool(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        for number in range(5):
            made.trail.record(event(number))
            assert made.trail.close(60)
            assert made.spooled() == []
        assert numbers(made) == list(range(5))


def test_events_after_the_close_start_another_chain(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(event(1))
        made.trail.close(60)
        made.trail.record(event(2))
        assert made.trail.flush(60)
        assert numbers(made) == [1, 2]
        assert len({chain for (chain,) in made.rows("chain")}) == 2


@pytest.mark.parametrize("commit", ["group", "entry", "write"])
def test_entries_of_many_threads_have_unique_positions(tmp_path: Path, commit: str) -> None:
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
        assert made.trail.flush(60)
        assert numbers(made) == list(range(400))
        sequences = [sequence for (sequence,) in made.rows("sequence")]
        assert sequences == list(range(402))


def test_threads_share_flushes_in_a_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While one thread flushes, seven others wait; one further flush covers them all."""
    flushes = 0
    writing, disk_goes_on = threading.Event(), threading.Event()
    real = os.fsync

    def fsync(descriptor: int) -> None:
        nonlocal flushes
        flushes += 1
        writing.set()
        disk_goes_on.wait()
        real(descriptor)

    with kit(tmp_path, policy=PERMANENT) as made:
        made.trail.record(event())
        monkeypatch.setattr(os, "fsync", fsync)
        threads = [threading.Thread(target=made.trail.record, args=(event(at),)) for at in range(1, 9)]
        try:
            threads[0].start()
            writing.wait()
            for thread in threads[1:]:
                thread.start()
            pause = threading.Event()
            while len(made.trail._committer._waiting) < 7:
                pause.wait(0.01)
        finally:
            disk_goes_on.set()
        for thread in threads:
            thread.join()
        monkeypatch.undo()
        assert flushes == 2
        assert made.trail.flush(60)
        assert numbers(made) == list(range(9))


def test_an_unflushed_entry_is_flushed_before_it_is_moved(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with kit(tmp_path, policy=changed(PERMANENT, audit__spool__commit="write")) as made:
        made.trail.record(event(1))
        assert made.trail.flush(60)
        flushed: list[int] = []
        real = os.fsync
        monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(descriptor), real(descriptor)))
        receipt = made.trail.record(event(2))
        assert flushed == []
        assert receipt is not None
        assert made.spooled()[-1].mac == receipt.mac  # a kill at this point does not lose it
        assert made.trail.flush(60)
        assert flushed != []
        assert numbers(made) == [1, 2]


def test_threads_of_an_event_loop_record_concurrently(tmp_path: Path) -> None:
    async def main() -> None:
        receipts = await asyncio.gather(
            *(asyncio.to_thread(made.trail.record, event(number)) for number in range(20))
        )
        assert all(receipts)

    with kit(tmp_path) as made:
        asyncio.run(main())
        assert made.trail.flush(60)
        assert numbers(made) == list(range(20))


def test_without_a_key_one_warning_names_the_variable(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with kit(tmp_path, keys=AuditKeys(None)) as made:
        made.trail.record(event(1))
        made.trail.close(60)
        made.trail.record(event(2))
    assert [record.levelname for record in caplog.records if "MITA_OTEL_AUDIT_KEY" in record.message] == [
        "WARNING"
    ]


def test_custom_types_and_types_of_the_guide_are_recorded(tmp_path: Path) -> None:
    with kit(tmp_path) as made:
        made.trail.record(AuditEvent(event_type="loan.approve"))
        made.trail.record(AuditEvent(event_type=AuditEventType.DATA_EXPORT))
        assert made.trail.flush(60)
        kinds = [kind for (kind,) in made.rows("event_type")]
        assert kinds[2:] == ["loan.approve", "data_export"]


def test_a_receipt_and_its_entry_have_the_same_time(tmp_path: Path) -> None:
    now = [1_800_000_000_605_691_900]
    with kit(tmp_path, clock_ns=lambda: now[0]) as made:
        receipt = made.trail.record(AuditEvent(event_type="test"))
        assert receipt is not None
        assert receipt.recorded_at == moment(receipt.recorded_ns)


def test_a_lock_briefly_held_by_another_process_loses_no_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, looks = SpoolLock.take, iter([True, True])

    def take(path: Path) -> SpoolLock | None:
        return None if next(looks, False) else real(path)

    monkeypatch.setattr(SpoolLock, "take", staticmethod(take))
    with kit(tmp_path) as made:
        assert made.trail.record(AuditEvent(event_type="test")) is not None
