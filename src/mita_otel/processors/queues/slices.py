"""Divides background work into short slices, so that a request does not wait for the end of a batch.

A thread that computes keeps the interpreter's lock. A request's thread that wakes up gets it after 5 ms
(`sys.getswitchinterval`), once for each background thread, and again each time it has waited for something else. So
background threads work in turns, and all of them pause after each slice. `time.sleep(0)` is no pause: the thread takes
the lock back before another one is awake.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final, TypeVar

from mita_otel.policy.runtime import SlicePolicy
from mita_otel.processors.queues.forks import after_fork_in_child, after_monkey_patch
from mita_otel.processors.queues.worker import BoundedWorker

T = TypeVar("T")

_LONGEST_WAIT: Final = 10
"""Slices for which a thread waits for its turn. Then it continues, so that no thread can stop the others."""


class _Work:
    """What one thread does in the background."""

    __slots__ = ("began_s", "is_urgent", "takes_turns", "turn")

    def __init__(self, is_urgent: Callable[[], bool], *, takes_turns: bool) -> None:
        self.is_urgent = is_urgent
        self.takes_turns = takes_turns
        self.turn: threading.Lock | None = None
        """The lock that the thread holds in its turn."""
        self.began_s = 0.0


class Slices:
    """Lets background threads work in turns and pause after each slice. Other threads never wait here.

    Args:
        work_s: Seconds of CPU time of one slice. Infinity: the work is not divided.
        pause_s: Seconds of the pause after it.
        max_backlog: Fraction of a queue; if more of it is filled, its thread does not pause.
        clock: Seconds of CPU time of the current thread. Elapsed time would include the work of other threads.
        sleep: Pauses the current thread. None: `time.sleep`.
    """

    def __init__(
        self,
        work_s: float = math.inf,
        pause_s: float = 0,
        max_backlog: float = 1,
        *,
        clock: Callable[[], float] = time.thread_time,
        sleep: Callable[[float], None] | None = None,
    ) -> None:
        self._work_s = work_s
        self._pause_s = pause_s
        self.max_backlog = max_backlog
        """Fraction of a queue; if more of it is filled, its thread does not pause."""
        self._clock = clock
        self._sleep = sleep
        self._renew()
        after_fork_in_child(self._renew)
        after_monkey_patch(self._renew)

    def _renew(self) -> None:
        self._turn = threading.Lock()
        self._current = threading.local()

    @classmethod
    def of(cls, policy: SlicePolicy) -> Slices:
        """Return the slices that a policy describes."""
        return cls(policy.work_ms / 1000, policy.pause_ms / 1000, policy.max_backlog)

    @contextmanager
    def work(self, is_urgent: Callable[[], bool] = bool, *, takes_turns: bool = True) -> Iterator[None]:
        """Mark what the current thread does as background work.

        Args:
            is_urgent: Returns whether to continue without a pause, because a flush waits or a queue fills up.
            takes_turns: Whether the work may wait for that of other threads. False: it also waits for a network.
        """
        if math.isinf(self._work_s) or self._work_of_thread is not None:
            yield
            return
        work = self._current.work = _Work(is_urgent, takes_turns=takes_turns)
        try:
            self._begin(work)
            yield
        finally:
            self._current.work = None
            self._end(work)

    @contextmanager
    def batch(
        self, worker: BoundedWorker[Any], max_items: int, *, takes_turns: bool = True
    ) -> Iterator[None]:
        """Mark the handling of a worker's batch as background work. It is urgent if a flush waits or the queue fills up.

        Args:
            worker: The worker.
            max_items: Items that may wait.
            takes_turns: See `work`.
        """
        most = max_items * self.max_backlog
        with self.work(lambda: worker.flushing or worker.waiting > most, takes_turns=takes_turns):
            yield

    def step(self) -> None:
        """Pause if the slice of the current thread is over. Call it between short pieces of work."""
        work = self._work_of_thread
        if work is None or self._clock() - work.began_s < self._work_s:
            return
        if not work.is_urgent():
            # Looked up now, because gevent may have replaced it. The pause belongs to the turn: no thread works in it.
            (self._sleep or time.sleep)(self._pause_s)
        self._end(work)
        self._begin(work)

    def stepped(self, items: list[T]) -> list[T]:
        """Return a list of the items that calls `step` after each item of an iteration."""
        return items if math.isinf(self._work_s) else _SteppedList(items, self.step)

    @property
    def _work_of_thread(self) -> _Work | None:
        return getattr(self._current, "work", None)

    def _begin(self, work: _Work) -> None:
        if work.takes_turns and not work.is_urgent():
            turn = self._turn
            work.turn = turn if turn.acquire(timeout=_LONGEST_WAIT * self._work_s) else None
        work.began_s = self._clock()

    def _end(self, work: _Work) -> None:
        turn, work.turn = work.turn, None
        if turn is not None:
            turn.release()


class _SteppedList(list[T]):
    """A list that lets its reader pause: exporters of third parties encode a batch item by item."""

    def __init__(self, items: list[T], step: Callable[[], None]) -> None:
        super().__init__(items)
        self._step = step

    def __iter__(self) -> Iterator[T]:
        for item in super().__iter__():
            yield item
            self._step()
