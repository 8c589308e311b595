"""BoundedWorker is bounded, never blocks, respects deadlines, and survives failures and forks."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from typing import Any

import pytest

from closing import Closing
from mita_otel.processors.queues.worker import BoundedWorker

Make = Callable[..., BoundedWorker[int]]


@pytest.fixture
def make(closing: Closing) -> Make:
    """Creates workers that end with the test."""

    def worker(
        handle: Callable[[list[int]], None],
        *,
        max_items: int = 100,
        max_batch: int = 10,
        delay_s: float = 60,
        **more: Any,
    ) -> BoundedWorker[int]:
        return closing(
            BoundedWorker(
                handle, name="test", max_items=max_items, max_batch=max_batch, delay_s=delay_s, **more
            )
        )

    return worker


def test_flush_handles_all_items_in_order_and_in_batches(make: Make) -> None:
    batches: list[list[int]] = []
    worker = make(batches.append, max_batch=4)
    for item in range(10):
        assert worker.put(item)
    assert worker.flush(60)
    assert [item for batch in batches for item in batch] == list(range(10))
    assert max(map(len, batches)) <= 4


def test_a_full_batch_does_not_wait_for_the_delay(make: Make) -> None:
    done = threading.Event()
    worker = make(lambda batch: done.set(), max_batch=3, delay_s=3600)
    for item in range(3):
        worker.put(item)
    assert done.wait(60)


def test_a_single_item_is_handled_after_the_delay(make: Make) -> None:
    done = threading.Event()
    worker = make(lambda batch: done.set(), delay_s=0.01)
    worker.put(1)
    assert done.wait(60)


def test_a_delay_too_large_to_wait_for_does_not_end_the_thread(make: Make) -> None:
    batches: list[list[int]] = []
    worker = make(batches.append, delay_s=1e30, max_batch=2)
    worker.put(1)
    worker.put(2)
    assert worker.flush(60)
    assert batches == [[1, 2]]


def test_an_item_that_does_not_fit_is_refused_at_once(make: Make) -> None:
    release = threading.Event()
    taken = threading.Event()

    def block(batch: list[int]) -> None:
        taken.set()
        release.wait(30)

    worker = make(block, max_items=5, max_batch=1)
    worker.put(0)
    assert taken.wait(60)
    assert [worker.put(item) for item in range(8)] == [True] * 5 + [False] * 3
    assert worker.waiting == 5
    release.set()
    assert worker.flush(60)


def test_flush_and_stop_respect_their_deadline_while_the_handler_hangs(make: Make) -> None:
    release = threading.Event()
    worker = make(lambda batch: release.wait(60) and None)
    worker.put(1)
    assert worker.flush(0.05) is False
    assert worker.stop(0.05) is False
    release.set()


class Panic(BaseException):
    """Like the exception for a Rust panic."""


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, SystemExit, Panic])
def test_a_failing_handler_loses_its_batch_and_nothing_else(
    caplog: pytest.LogCaptureFixture, make: Make, error: type[BaseException]
) -> None:
    seen: list[int] = []

    def handle(batch: list[int]) -> None:
        if 1 in batch:
            raise error("no")
        seen.extend(batch)

    worker = make(handle, max_batch=1)
    for item in range(3):
        worker.put(item)
    assert worker.flush(60)
    assert seen == [0, 2]
    assert "a batch of 1 was lost" in caplog.text


@pytest.mark.parametrize("error", [ValueError, asyncio.CancelledError, Panic])
def test_the_thread_survives_failing_callbacks(
    caplog: pytest.LogCaptureFixture, make: Make, error: type[BaseException]
) -> None:
    seen: list[int] = []
    idle = threading.Event()

    def fail(left_s: float = 0) -> None:
        idle.set()
        raise error("no")

    worker = make(seen.extend, on_flush=fail, on_idle=fail, on_stop=fail, idle_s=0.01)
    worker.start()
    assert idle.wait(60)
    assert worker.flush(60) is False
    worker.put(1)
    assert worker.flush(60) is False
    assert seen == [1]
    worker.stop(60)
    for what in ("idle work failed", "flush failed", "shutdown failed"):
        assert what in caplog.text


def test_stop_flushes_then_refuses(make: Make) -> None:
    seen: list[int] = []
    ended: list[str] = []
    worker = make(seen.extend, on_stop=lambda: ended.append("stopped"))
    worker.put(1)
    assert worker.stop(5)
    assert (seen, ended) == ([1], ["stopped"])
    assert worker.put(2) is False


def test_a_flush_returns_false_if_its_callback_is_late(make: Make) -> None:
    answers = [False, True]
    worker = make(
        lambda batch: None,
        max_items=10,
        max_batch=10,
        delay_s=0.01,
        on_flush=lambda left_s: answers.pop(0),
    )
    worker.put(1)
    assert worker.flush(60) is False
    assert worker.flush(60) is True


def test_on_flush_runs_after_the_items_on_the_workers_thread(make: Make) -> None:
    order: list[str] = []
    worker = make(
        lambda batch: order.append("items"),
        on_flush=lambda left: order.append(threading.current_thread().name),
    )
    worker.put(1)
    assert worker.flush(60)
    assert order == ["items", "test"]


def test_items_of_many_threads_are_handled_exactly_once(make: Make) -> None:
    seen: list[int] = []
    worker = make(seen.extend, max_items=100_000, max_batch=64, delay_s=0.001)

    def put(start: int) -> None:
        for item in range(start, start + 1000):
            assert worker.put(item)

    threads = [threading.Thread(target=put, args=(1000 * n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert worker.flush(60)
    assert sorted(seen) == list(range(8000))


def test_a_signal_handler_may_flush_on_the_thread_that_puts(make: Make) -> None:
    seen: list[int] = []
    worker = make(seen.extend, max_items=100_000)
    results: list[bool] = []
    previous = signal.signal(signal.SIGUSR1, lambda *_: results.append(worker.flush(5)))
    try:
        for item in range(200):
            worker.put(item)
            if item % 20 == 0:
                os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert worker.flush(60)
    assert all(results)
    assert sorted(seen) == list(range(200))


def _in_child(queue: multiprocessing.Queue[list[int]], worker: BoundedWorker[int], seen: list[int]) -> None:
    worker.put(99)
    worker.flush(60)
    queue.put(list(seen))


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork.*:DeprecationWarning")
def test_a_forked_child_starts_empty_and_works(make: Make) -> None:
    seen: list[int] = []
    worker = make(seen.extend)
    worker.put(1)  # belongs to the parent: the child must not send it again
    context = multiprocessing.get_context("fork")
    queue: multiprocessing.Queue[list[int]] = context.Queue()
    child = context.Process(target=_in_child, args=(queue, worker, seen))
    child.start()
    assert queue.get(timeout=60) == [99]
    child.join(60)
    assert worker.flush(60)
    assert seen == [1]


def test_items_counted_as_lost_are_counted_once(make: Make) -> None:
    taken, release = threading.Event(), threading.Event()
    settled: list[int] = []

    def handle(batch: list[int]) -> None:
        taken.set()
        release.wait(60)
        settled.append(worker.settle(len(batch)))

    worker = make(handle, max_batch=2)
    for item in range(2):
        worker.put(item)
    assert taken.wait(60)
    assert [worker.count_as_lost(), worker.count_as_lost()] == [2, 0]
    worker.put(2)
    worker.put(3)
    assert worker.count_as_lost() == 2
    release.set()
    assert worker.flush(60)
    for item in range(3):
        worker.put(item)
    assert worker.flush(60)
    assert settled == [0, 0, 2, 1]
    assert [worker.unfinished, worker.count_as_lost()] == [0, 0]


def test_discarded_items_are_counted_and_not_handled(make: Make) -> None:
    taken, release = threading.Event(), threading.Event()
    handled: list[int] = []

    def handle(batch: list[int]) -> None:
        handled.extend(batch)
        taken.set()
        release.wait(60)

    worker = make(handle, max_batch=2)
    for item in range(2):
        worker.put(item)
    assert taken.wait(60)
    worker.put(2)
    assert worker.count_as_lost() == 3
    worker.put(3)
    assert [worker.discard(), worker.waiting, worker.unfinished] == [1, 0, 2]
    release.set()
    assert worker.flush(60)
    assert [handled, worker.unfinished, worker.count_as_lost()] == [[0, 1], 0, 0]
