"""The spool keeps acknowledged records, evicts the lowest priority first, and survives a killed process."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mita_otel.mobile.destinations import SpoolRecord
from mita_otel.mobile.spool import SpoolFullError, WaitingRecord
from mita_otel.policy.mobile import Priority
from mobile.spool_kit import ANYTHING, Lost, drained, files, make, record


# --- priorities and eviction ---------------------------------------
def test_the_highest_priority_is_sent_first_and_then_the_oldest(tmp_path: Path) -> None:
    spool = make(tmp_path)
    for priority in ("debug", "error", "performance", "crash", "health", "error"):
        spool.put(record(priority), f"{priority}".encode())
    assert drained(spool) == [b"crash", b"error", b"error", b"health", b"performance", b"debug"]
    assert spool.counts() == (0, 0, {})
    assert files(tmp_path) == []


def test_the_oldest_debug_data_are_evicted_first_and_crashes_last(tmp_path: Path) -> None:
    lost = Lost()
    spool = make(tmp_path, lost, max_records=6)
    order: list[Priority] = ["debug", "debug", "performance", "health", "error", "crash"]
    for number, priority in enumerate(order):
        spool.put(record(priority), f"{priority} {number}".encode())
    for _ in range(5):
        spool.put(record("crash"), b"crash")
    assert [priority for _, priority in lost] == ["debug", "debug", "performance", "health", "error"]
    with pytest.raises(SpoolFullError):
        spool.put(record("crash"), b"one too many")
    assert drained(spool) == [b"crash 5", *[b"crash"] * 5]


def test_newer_debug_data_evict_older_ones_but_acknowledged_errors_remain(tmp_path: Path) -> None:
    lost = Lost()
    spool = make(tmp_path, lost, max_records=2)
    for number in range(4):
        spool.put(record("debug"), f"{number}".encode())
    assert drained(spool) == [b"2", b"3"]
    for number in range(2):
        spool.put(record("error"), f"{number}".encode())
    with pytest.raises(SpoolFullError):
        spool.put(record("error"), b"2")
    with pytest.raises(SpoolFullError):
        spool.put(record("debug"), b"3")
    assert drained(spool) == [b"0", b"1"]
    assert lost == [("spool_full", "debug")] * 2


def test_bytes_are_bounded_and_only_a_sufficient_eviction_happens(tmp_path: Path) -> None:
    lost = Lost()
    spool = make(tmp_path, lost, max_megabytes=1)
    spool.put(record("error"), b"e" * 600_000)
    spool.put(record("debug"), b"d" * 300_000)
    with pytest.raises(SpoolFullError):
        spool.put(record("performance"), b"p" * 500_000)
    assert lost == []
    spool.put(record("performance"), b"p" * 350_000)
    assert lost == [("spool_full", "debug")]
    _, size, _ = spool.counts()
    assert size <= 1_000_000
    assert size == sum(path.stat().st_size for path in files(tmp_path))


def test_records_that_may_not_be_sent_are_skipped(tmp_path: Path) -> None:
    spool = make(tmp_path)
    spool.put(record("crash"), b"crash")
    spool.put(SpoolRecord("sentry", "app", "debug", ("log_item",)), b"debug")
    assert drained(spool, lambda one: "error" not in one.categories) == [b"debug"]
    assert spool.take(lambda one: False) is None
    assert drained(spool) == [b"crash"]


def test_a_returned_record_waits_before_or_after_the_others(tmp_path: Path) -> None:
    spool = make(tmp_path)
    for name in (b"1", b"2", b"3"):
        spool.put(record(), name)
    first = spool.take(ANYTHING)
    assert first is not None
    spool.give_back(first, last=False)
    again = spool.take(ANYTHING)
    assert again == first
    assert again is not None
    spool.give_back(again, last=True)
    assert drained(spool) == [b"2", b"3", b"1"]


def test_a_record_that_is_being_sent_is_not_evicted(tmp_path: Path) -> None:
    spool = make(tmp_path, max_records=1)
    spool.put(record("debug"), b"on its way")
    waiting = spool.take(ANYTHING)
    assert waiting is not None
    with pytest.raises(SpoolFullError):
        spool.put(record("crash"), b"crash")
    assert spool.read(waiting)[1] == b"on its way"


# --- other processes --------------------------------------------------------------------------------------------
def test_records_of_an_ended_process_are_adopted_in_order(tmp_path: Path) -> None:
    first = make(tmp_path)
    for priority in ("debug", "crash", "error"):
        first.put(record(priority), priority.encode())
    first.close()
    second = make(tmp_path)
    assert second.adopt() == 3
    assert second.adopt() == 0
    assert drained(second) == [b"crash", b"error", b"debug"]
    second.close()
    assert list((tmp_path / "spool").iterdir()) == []


def test_records_of_a_live_process_are_not_adopted(tmp_path: Path) -> None:
    first = make(tmp_path)
    first.put(record(), b"mine")
    second = make(tmp_path)
    second.put(record(), b"yours")
    assert second.adopt() == 0
    assert drained(first) == [b"mine"]


KILLED = """
import os, signal, sys
from pathlib import Path
from mobile.spool_kit import make, record
spool = make(Path(sys.argv[1]))
for number in range(5):
    spool.put(record("error"), b"%d" % number)
(next((Path(sys.argv[1]) / "spool").glob("*/")) / "1-7-7.record.part").write_bytes(b"half a parc")
(next((Path(sys.argv[1]) / "spool").glob("*/")) / "1-8-8.record").write_bytes(b"half a parc")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_no_stored_record(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -9
    lost = Lost()
    spool = make(tmp_path, lost)
    assert spool.adopt() == 5
    assert lost == [("damaged", "error")]
    assert drained(spool) == [b"0", b"1", b"2", b"3", b"4"]


def test_records_that_do_not_fit_are_left_for_the_next_adoption(tmp_path: Path) -> None:
    first = make(tmp_path)
    for number in range(3):
        first.put(record("error"), f"{number}".encode())
    first.close()
    small = make(tmp_path, max_records=2)
    assert small.adopt() == 2
    assert drained(small) == [b"0", b"1"]
    assert small.adopt() == 1
    assert drained(small) == [b"2"]


def test_several_threads_put_and_take_concurrently(tmp_path: Path) -> None:
    spool = make(tmp_path)
    taken: list[bytes] = []

    def put() -> None:
        for _ in range(50):
            spool.put(record("performance"), b"x")

    def take() -> None:
        while len(taken) < 200:
            waiting: WaitingRecord | None = spool.take(ANYTHING)
            if waiting is not None:
                taken.append(spool.read(waiting)[1])
                spool.done(waiting)

    threads = [threading.Thread(target=work) for work in (put, put, put, put, take, take)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(taken) == 200
    assert spool.counts() == (0, 0, {})
