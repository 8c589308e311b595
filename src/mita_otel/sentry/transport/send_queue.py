"""The queue for network requests: bounded in number and bytes, important jobs first, safe after a fork."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.errors import raise_interrupt
from mita_otel.processors.queues.forks import after_fork_in_child, after_monkey_patch
from mita_otel.processors.queues.stage import Stage, seconds_left

_logger = logging.getLogger("mita_otel")


@dataclass(frozen=True, slots=True, eq=False)
class Job:
    """A request to send."""

    run: Callable[[], Any]
    size: int = 0
    """Bytes of memory while the job waits."""
    important: bool = True
    """Important jobs are sent first. They are not evicted for other jobs."""
    evicted: Callable[[], Any] | None = None
    """Called on any thread if the queue rejects or evicts the job."""
    abandoned: Callable[[], Any] | None = None
    """Called if the deadline passes before the job has run. The job may still run later."""


class SendQueue(Stage):
    """Runs jobs on several background threads.

    A single thread would wait 50 to 100 ms for Sentry's response after each envelope. A full queue evicts the oldest
    ordinary jobs to keep errors and breached transactions. A forked child starts with an empty queue, because the
    parent sends the jobs.

    Args:
        threads: Maximum number of threads. They are started on demand.
        max_jobs: Maximum number of waiting jobs.
        max_bytes: Maximum bytes of waiting jobs. A larger job is accepted if no other job waits.
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
            # The lock is re-entrant, because a signal handler may flush on the thread that is queueing.
            self._changed = threading.Condition(threading.RLock())

    def _reset(self) -> None:
        self._threads = 0
        self._renew_lock()
        self._important: deque[Job] = deque()
        self._ordinary: deque[Job] = deque()
        self._bytes = 0
        self._running: set[Job] = set()
        self._flushing = 0
        self._closed = False

    @property
    def waiting(self) -> int:
        """Number of waiting jobs."""
        return len(self._important) + len(self._ordinary)

    @property
    def idle(self) -> bool:
        """Whether no job waits or runs."""
        return not (self.waiting or self._running)

    @property
    def full(self) -> bool:
        """Whether the next job does not fit without an eviction."""
        return self.waiting >= self._max_jobs or self._bytes >= self._max_bytes

    @property
    def flushing(self) -> bool:
        """Whether a flush waits."""
        return self._flushing > 0

    def put(self, job: Job) -> bool:
        """Queue a job. Evict the oldest ordinary jobs if it does not fit. Return False if it still does not fit."""
        evicted: list[Job] = []
        with self._changed:
            while self._ordinary and not self._fits(job):
                evicted.append(self._ordinary.popleft())
                self._bytes -= evicted[-1].size
            taken = not self._closed and self._fits(job)
            if taken:
                (self._important if job.important else self._ordinary).append(job)
                self._bytes += job.size
                self._start_if_needed()
                self._changed.notify()
        _notify(evicted if taken else [*evicted, job])
        return taken

    def flush(self, deadline_s: float) -> bool:
        """Wait until all jobs have run, including jobs that they queue. Return False if the deadline passed first."""
        with self._changed:
            self._flushing += 1
            try:
                if self._threads == 0:  # an interpreter that shuts down starts no threads
                    self._run_here(deadline_s)
                return self._changed.wait_for(lambda: self.idle, seconds_left(deadline_s))
            finally:
                self._flushing -= 1

    def abandon(self) -> None:
        """Report each job that waits or runs as late. The jobs still run if the process lives long enough."""
        with self._changed:
            unfinished = [*self._running, *self._important, *self._ordinary]
        for job in unfinished:
            if job.abandoned is not None:
                job.abandoned()

    def close(self) -> None:
        """Reject new jobs, and evict the waiting jobs."""
        with self._changed:
            self._closed = True
            evicted = [*self._important, *self._ordinary]
            self._important.clear()
            self._ordinary.clear()
            self._bytes = 0
            self._changed.notify_all()
        _notify(evicted)

    def _fits(self, job: Job) -> bool:
        if self.waiting >= self._max_jobs:
            return False
        return self._bytes + job.size <= self._max_bytes or not self.waiting

    def _start_if_needed(self) -> None:
        idle = self._threads - len(self._running)
        if self._threads >= self._max_threads or idle >= self.waiting:
            return
        name = f"mita-otel-sentry-{self._threads}"
        try:
            threading.Thread(target=self._work, name=name, daemon=True).start()
        except RuntimeError:  # the interpreter shuts down: `flush` runs the jobs itself
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
                changed.wait_for(lambda: self._closed or self.waiting)
                job = self._next()
                if job is None:
                    self._threads -= 1
                    return
                self._running.add(job)
            try:
                _run(job)
            except (
                BaseException
            ):  # such as gevent timeouts or cancelled tasks: the thread continues with the next job
                _logger.debug("sending to Sentry was interrupted", exc_info=True)
            finally:
                with changed:
                    self._running.discard(job)
                    changed.notify_all()

    def _run_here(self, deadline_s: float) -> None:
        while time.monotonic() < deadline_s and (job := self._next()) is not None:
            _run(job)


def _notify(evicted: Sequence[Job]) -> None:
    for job in evicted:
        if job.evicted is not None:
            job.evicted()


def _run(job: Job) -> None:
    try:
        # Requests to Sentry must not be traced by an instrumented HTTP client.
        with suppress_instrumentation():
            job.run()
    except BaseException as error:
        raise_interrupt(error)
        _logger.debug("sending to Sentry failed", exc_info=True)
