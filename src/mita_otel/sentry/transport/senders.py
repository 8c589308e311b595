"""The threads that send envelopes: bounded in number and bytes, important ones first, safe after a fork."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation
from sentry_sdk.worker import Worker

from mita_otel.processors.queues.forks import after_fork_in_child, after_monkey_patch

_logger = logging.getLogger("mita_otel")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """Something to send."""

    run: Callable[[], Any]
    size: int = 0
    """Bytes that it holds while it waits."""
    important: bool = True
    """Whether it is sent before the others, and given up after them."""
    given_up: Callable[[], Any] | None = None
    """Called, on any thread, if there was no room for it."""
    holds: Sequence[Any] = ()
    """What is sent."""


class Senders(Worker):
    """What sentry-sdk calls a worker: takes jobs and runs them off the request path.

    sentry-sdk's own sends one envelope after another, so that a process waits for Sentry's answer (some 50 to
    100 ms away) after each transaction; it drops the newest when it is full, be it a failed payment; and a
    forked child sends again what its parent's queue held.

    Args:
        threads: Jobs that run at the same time. Threads are started as they are needed.
        max_jobs: Jobs that may wait. One more, and the oldest unimportant one is given up, if there is one.
        max_bytes: Bytes that they may hold, likewise.
    """

    def __init__(self, threads: int, max_jobs: int, max_bytes: float) -> None:
        self._max_threads = threads
        self._max_jobs = max_jobs
        self._max_bytes = max_bytes
        self._reset()
        after_fork_in_child(self._reset)
        after_monkey_patch(self._renew_lock)

    def _renew_lock(self) -> None:
        if not self._threads:
            # A re-entrant lock: a signal handler may flush on the very thread that is queueing.
            self._changed = threading.Condition(threading.RLock())

    def _reset(self) -> None:
        self._threads = 0
        self._renew_lock()
        self._important: deque[Job] = deque()
        self._ordinary: deque[Job] = deque()
        self._bytes = 0
        self._running: set[Job] = set()
        self._killed = False

    @property
    def is_alive(self) -> bool:
        """True: a thread that does not run is started with the next job."""
        return True

    @property
    def waiting(self) -> int:
        """Jobs that wait now."""
        return len(self._important) + len(self._ordinary)

    @property
    def idle(self) -> bool:
        """Whether nothing waits, and nothing is on its way."""
        return not (self.waiting or self._running)

    @property
    def unfinished(self) -> list[Job]:
        """Jobs that wait, and those that are on their way."""
        with self._changed:
            return [*self._running, *self._important, *self._ordinary]

    def full(self) -> bool:
        """Return whether one more job would push another out."""
        return self.waiting >= self._max_jobs or self._bytes >= self._max_bytes

    def submit(self, callback: Callable[[], Any]) -> bool:
        """Queue an important job without weight. False if there is no room."""
        return self.put(Job(callback))

    def put(self, job: Job) -> bool:
        """Queue a job, giving up older unimportant ones if there is no room. False if that does not help."""
        pushed_out: list[Job] = []
        with self._changed:
            while self._ordinary and not self._fits(job):
                pushed_out.append(self._ordinary.popleft())
                self._bytes -= pushed_out[-1].size
            taken = not self._killed and self._fits(job)
            if taken:
                (self._important if job.important else self._ordinary).append(job)
                self._bytes += job.size
                self._start_if_needed()
                self._changed.notify()
        for one in [*pushed_out, *([] if taken else [job])]:
            if one.given_up is not None:
                one.given_up()
        return taken

    def flush(self, timeout: float, callback: Callable[[int, float], Any] | None = None) -> None:
        """Wait until everything that was queued has been sent, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        with self._changed:
            if self._threads == 0:  # a dying interpreter starts no threads
                self._run_here(deadline)
            self._changed.wait_for(lambda: self.idle, max(0.0, timeout))

    def kill(self) -> None:
        """Refuse jobs from now on; what waits is given up."""
        with self._changed:
            self._killed = True
            left = [*self._important, *self._ordinary]
            self._important.clear()
            self._ordinary.clear()
            self._bytes = 0
            self._changed.notify_all()
        for job in left:
            if job.given_up is not None:
                job.given_up()

    def _fits(self, job: Job) -> bool:
        if self.waiting >= self._max_jobs:
            return False
        # One that is larger than all the room goes alone.
        return self._bytes + job.size <= self._max_bytes or not self.waiting

    def _start_if_needed(self) -> None:
        idle = self._threads - len(self._running)
        if self._threads >= self._max_threads or idle >= self.waiting:
            return
        name = f"mita-otel-sentry-{self._threads}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:  # the interpreter is on its way out: `flush` does the work itself
            return
        self._threads += 1

    def _next(self) -> Job | None:
        queue = self._important or self._ordinary
        if not queue:
            return None
        job = queue.popleft()
        self._bytes -= job.size
        return job

    def _work(self) -> None:
        changed = self._changed
        while True:
            with changed:
                changed.wait_for(lambda: self._killed or self.waiting)
                job = self._next()
                if job is None:
                    self._threads -= 1
                    return
                self._running.add(job)
            try:
                _run(job)
            finally:
                with changed:
                    self._running.discard(job)
                    changed.notify_all()

    def _run_here(self, deadline: float) -> None:
        while time.monotonic() < deadline and (job := self._next()) is not None:
            _run(job)


def _run(job: Job) -> None:
    try:
        # Our own requests must not become spans of an HTTP client's instrumentation.
        with suppress_instrumentation():
            job.run()
    except Exception:
        _logger.debug("sending to Sentry failed", exc_info=True)
