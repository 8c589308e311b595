"""The threads that send envelopes: bounded, several at a time, safe after a fork."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from sentry_sdk.worker import Worker

from mita_otel.processors.worker import BoundedWorker

Job = Callable[[], Any]


class Senders(Worker):
    """What sentry-sdk calls a worker: takes jobs and runs them off the request path.

    sentry-sdk's own sends one envelope after another, so that a process waits for Sentry's answer (some 50 to
    100 ms away) after each transaction, and a forked child sends again what its parent's queue held.

    Args:
        threads: Envelopes that are sent at the same time. Threads are started as they are needed.
        max_waiting: Envelopes that may wait, all threads together.
    """

    def __init__(self, threads: int, max_waiting: int) -> None:
        self._workers = [
            BoundedWorker(
                _run,
                name=f"mita-otel-sentry-{number}",
                max_items=max(1, max_waiting // threads),
                max_batch=1,
                delay_s=0.0,
            )
            for number in range(threads)
        ]

    @property
    def is_alive(self) -> bool:
        """True: a thread that does not run is started with the next job."""
        return True

    @property
    def waiting(self) -> int:
        """Envelopes that wait now."""
        return sum(worker.waiting for worker in self._workers)

    def submit(self, callback: Job) -> bool:
        """Queue a job. False if there is no room."""
        return self._least_busy().put(callback)

    def wait_for_room(self, timeout_s: float) -> bool:
        """Wait until a job can be queued. False if there was no room in time."""
        return self._least_busy().wait_for_room(timeout_s)

    def full(self) -> bool:
        """Return whether a job would be refused."""
        return all(worker.full for worker in self._workers)

    def flush(self, timeout: float, callback: Callable[[int, float], Any] | None = None) -> None:
        """Wait until everything that was queued has been sent, at most `timeout` seconds."""
        deadline = time.monotonic() + timeout
        busy = [worker for worker in self._workers if worker.started]
        for worker in busy:
            worker.hurry(timeout)
        for worker in busy:
            worker.flush(max(0.0, deadline - time.monotonic()))

    def kill(self) -> None:
        """Refuse jobs from now on; what waits is given up."""
        for worker in self._workers:
            if worker.started:
                worker.stop(0)

    def _least_busy(self) -> BoundedWorker[Job]:
        return min(self._workers, key=lambda worker: worker.unfinished)


def _run(jobs: Sequence[Job]) -> None:
    for job in jobs:
        job()
