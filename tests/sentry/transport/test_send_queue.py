"""The send queue is bounded, runs important jobs first, and respects deadlines and forks."""

from __future__ import annotations

import os
import signal
import threading
import time
from functools import partial

import pytest

from closing import Closing
from mita_otel.sentry.transport.send_queue import Job, SendQueue


class Gate:
    """A job that blocks a sender until it is released."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.let = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        self.let.wait(30)


def blocked(closing: Closing, max_jobs: int = 3, max_bytes: float = 1e9) -> tuple[SendQueue, Gate]:
    """Return a queue whose only thread is blocked."""
    queue, gate = closing(SendQueue(1, max_jobs, max_bytes)), Gate()
    assert queue.put(Job(gate))
    assert gate.entered.wait(10)
    return queue, gate


def test_flush_runs_all_queued_jobs(closing: Closing) -> None:
    queue = closing(SendQueue(4, 1000, 1e9))
    done: list[int] = []
    for number in range(200):
        assert queue.put(Job(partial(done.append, number)))
    queue.flush(time.monotonic() + 60)
    assert sorted(done) == list(range(200))
    assert queue.waiting == 0


def test_flush_waits_for_jobs_queued_by_jobs(closing: Closing) -> None:
    queue, done = closing(SendQueue(2, 10, 1e9)), []
    queue.put(Job(lambda: queue.put(Job(lambda: done.append("report")))))
    queue.flush(time.monotonic() + 60)
    assert done == ["report"]


def test_several_jobs_run_concurrently(closing: Closing) -> None:
    queue, barrier = closing(SendQueue(4, 10, 1e9)), threading.Barrier(4, timeout=60)
    for _ in range(4):
        queue.put(Job(barrier.wait))
    queue.flush(time.monotonic() + 60)
    assert not barrier.broken


def test_important_jobs_run_before_older_ordinary_ones(closing: Closing) -> None:
    queue, gate = blocked(closing, max_jobs=10)
    done: list[str] = []
    for name in ("ordinary 1", "important 1", "ordinary 2", "important 2"):
        assert queue.put(Job(partial(done.append, name), important=name.startswith("important")))
    gate.let.set()
    queue.flush(time.monotonic() + 60)
    assert done == ["important 1", "important 2", "ordinary 1", "ordinary 2"]


def test_in_a_full_queue_the_oldest_unimportant_job_is_evicted(closing: Closing) -> None:
    queue, gate = blocked(closing, max_jobs=3)
    lost: list[str] = []
    done: list[str] = []

    def job(name: str, important: bool) -> Job:
        return Job(lambda: done.append(name), important=important, evicted=lambda: lost.append(name))

    assert all(queue.put(job(name, False)) for name in "abc")
    assert queue.put(job("breach", True))
    assert queue.put(job("error", True))
    assert lost == ["a", "b"]
    assert queue.put(job("d", False))
    assert queue.put(job("last", True))
    assert lost == ["a", "b", "c", "d"]
    assert not queue.put(job("one too many", True)), "three important ones wait; the queue is full"
    assert not queue.put(job("e", False))
    assert lost == ["a", "b", "c", "d", "one too many", "e"]
    gate.let.set()
    queue.flush(time.monotonic() + 60)
    assert done == ["breach", "error", "last"]


def test_the_queue_is_bounded_in_bytes_and_a_larger_job_runs_alone(closing: Closing) -> None:
    queue, gate = blocked(closing, max_jobs=100, max_bytes=1000)
    lost: list[int] = []
    for number in range(10):
        queue.put(Job(lambda: None, size=300, important=False, evicted=partial(lost.append, number)))
    assert queue.waiting == 3
    assert lost == list(range(7))
    assert queue.put(Job(lambda: None, size=5000))
    assert queue.waiting == 1
    gate.let.set()
    queue.flush(time.monotonic() + 60)
    assert queue.waiting == 0


def test_flush_respects_its_deadline_while_a_job_hangs(closing: Closing) -> None:
    queue, gate = blocked(closing)
    started = time.monotonic()
    queue.flush(time.monotonic() + 0.05)
    assert time.monotonic() - started < 10
    gate.let.set()


def test_abandoning_reports_each_unfinished_job_which_still_runs(closing: Closing) -> None:
    queue, late, done = closing(SendQueue(1, 10, 1e9)), [], []
    gate = Gate()
    queue.put(Job(gate, abandoned=lambda: late.append("running")))
    gate.entered.wait(60)
    queue.put(Job(lambda: done.append(1), abandoned=lambda: late.append("waiting")))
    queue.put(Job(lambda: done.append(2)))
    queue.abandon()
    assert sorted(late) == ["running", "waiting"]
    gate.let.set()
    assert queue.flush(time.monotonic() + 60)
    assert done == [1, 2]


def test_a_job_that_raises_does_not_end_its_thread(closing: Closing) -> None:
    queue, done = closing(SendQueue(1, 10, 1e9)), []
    queue.put(Job(lambda: 1 / 0))
    queue.put(Job(lambda: done.append(1)))
    queue.flush(time.monotonic() + 60)
    assert done == [1]


def test_a_closed_queue_refuses_jobs_and_drops_waiting_ones(closing: Closing) -> None:
    queue, gate = blocked(closing)
    lost: list[str] = []
    queue.put(Job(lambda: None, evicted=lambda: lost.append("waiting")))
    queue.close()
    assert not queue.put(Job(lambda: None, evicted=lambda: lost.append("late")))
    assert lost == ["waiting", "late"]
    gate.let.set()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_starts_empty_and_can_send(closing: Closing) -> None:
    queue, gate = blocked(closing)
    queue.put(Job(lambda: os.write(2, b"never in the child")))
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        done: list[int] = []
        empty = queue.waiting == 0
        queue.put(Job(lambda: done.append(1)))
        queue.flush(time.monotonic() + 60)
        os._exit(0 if empty and done == [1] else 1)
    gate.let.set()
    queue.flush(time.monotonic() + 60)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
