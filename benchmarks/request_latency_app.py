"""The service of `request_cost.py`, with a probe that measures how long background threads hold up a thread."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from random import Random
from typing import Final

from request_cost_app import make_app

SLEEP_S: Final = 0.0005
REQUESTS: Final = ("MainThread", "AnyIO worker thread", "probe")
"""Threads that serve requests. All others work in the background."""


class Probe(threading.Thread):
    """Wakes up at random times, as a request does, and measures the CPU time of background threads until it continues.

    CPU time instead of time: other processes of a busy machine do not change the result.
    """

    def __init__(self) -> None:
        super().__init__(name="probe", daemon=True)
        self.waits_ms: deque[float] = deque(maxlen=100_000)

    def run(self) -> None:
        """Measure until the process ends."""
        random = Random(1)
        while True:
            time.sleep(random.uniform(0.001, 0.007))
            background = [one for one in threading.enumerate() if one.name not in REQUESTS and one.ident]
            before = sum(map(_cpu_s, background))
            time.sleep(SLEEP_S)
            self.waits_ms.append(1000 * max(0.0, sum(map(_cpu_s, background)) - before - SLEEP_S))


def _cpu_s(thread: threading.Thread) -> float:
    try:
        return time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
    except OSError:  # the thread has ended
        return 0.0


app = make_app(os.environ.get("WAY", "nothing"))
probe = Probe()
probe.start()


@app.get("/waits")
async def waits() -> list[float]:
    """Milliseconds that the probe waited since the last call."""
    found = list(probe.waits_ms)
    probe.waits_ms.clear()
    return found
