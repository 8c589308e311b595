"""Latency of one small request (a server span, two queries) at a constant rate, in all states of the backend.

    make request-latency     # or: python benchmarks/request_latency.py [rounds] [seconds a round] [requests a second]

Each variant is a service (uvicorn) with its own backend; the client and the backends are other processes. A round
drives every variant once, one after the other, and rounds repeat: compare the rows of one table with each other. The
client sends each request at its time, whether or not earlier ones have been answered.

Latencies need a quiet machine. The second table does not: it shows the CPU time that background threads use while a
thread of the service waits for the interpreter.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from latency_sink import Behaviour, start_backend
from request_cost import NOTHING, PATH, Service

STATES: Final[tuple[Behaviour, ...]] = ("healthy", "503", "silent")
VARIANTS: Final = (
    NOTHING,
    "bare SDK, OTLP over HTTP",
    "sentry-sdk with tracing",
    "ours, OTLP over HTTP",
    "ours, Sentry transactions",
)
TABLES: Final = {
    "Latency in ms, p50 / p99": ("p50", "p99"),
    "Wait for background threads in ms of their CPU time, p99 / longest": ("wait_p99", "wait_max"),
}
CONNECTIONS: Final = 16
SETTLE_S: Final = 2.0


class Round(NamedTuple):
    """Milliseconds of the requests of one round."""

    p50: float
    p99: float
    wait_p99: float
    """CPU time of background threads while a thread waited for the interpreter."""
    wait_max: float


class Variant:
    """A service and its backend."""

    def __init__(self, name: str, folder: Path, backend: int) -> None:
        self.name = name
        self.requests = 0
        """Requests that were sent. The backend may count more: statements at the service's start are transactions."""
        self.rounds: dict[Behaviour, list[Round]] = {state: [] for state in STATES}
        self._backend = f"http://127.0.0.1:{backend}"
        self.service = Service(name, folder, backend, "request_latency_app")

    def behave(self, behaviour: Behaviour) -> None:
        """Change the behaviour of the backend."""
        request = urllib.request.Request(  # noqa: S310 - http only
            f"{self._backend}/behaviour", data=behaviour.encode(), method="PUT"
        )
        urllib.request.urlopen(request, timeout=10).close()  # noqa: S310

    def delivered(self) -> int:
        """Return the number of requests whose spans the backend has accepted, once it gets no more."""
        before, now = -1, self.service.delivered()
        while now > before:
            time.sleep(SETTLE_S)
            before, now = now, self.service.delivered()
        return now

    def drive(self, seconds: float, rate: int) -> Round:
        """Send requests at a constant rate."""
        self._waits()
        times = asyncio.run(_drive(self.service.port, int(seconds * rate), rate))
        waits = self._waits()
        self.requests += len(times) + 2
        return Round(statistics.median(times), _p99(times), _p99(waits), max(waits))

    def _waits(self) -> list[float]:
        address = f"http://127.0.0.1:{self.service.port}/waits"
        with urllib.request.urlopen(address, timeout=60) as answer:
            return list(json.loads(answer.read()))


def _p99(values: list[float]) -> float:
    return statistics.quantiles(values, n=100)[98] if len(values) > 1 else 0.0


async def _drive(port: int, requests: int, rate: int) -> list[float]:
    free: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
    for _ in range(CONNECTIONS):
        free.put_nowait(await asyncio.open_connection("127.0.0.1", port))
    message = f"GET {PATH} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode()

    async def ask(due: float) -> float:
        reader, writer = await free.get()
        writer.write(message)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        await reader.readexactly(length)
        free.put_nowait((reader, writer))
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(head.decode())
        return 1000 * (time.perf_counter() - due)

    began = time.perf_counter()
    tasks = []
    for number in range(requests):
        due = began + number / rate
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        tasks.append(asyncio.create_task(ask(max(due, time.perf_counter()))))
    times = await asyncio.gather(*tasks)
    while not free.empty():
        free.get_nowait()[1].close()
    return list(times)


@contextmanager
def variants(names: tuple[str, ...] = VARIANTS) -> Iterator[list[Variant]]:
    """Start the services and their backends, and end them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mita-otel-bench-")))
        started = []
        for name in names:
            variant = Variant(name, folder, start_backend(stack))
            stack.callback(variant.service.end)
            started.append(variant)
        yield started


def measure(started: list[Variant], rounds: int, seconds: float, rate: int) -> None:
    """Drive the variants in interleaved rounds, in each state of their backends."""
    for variant in started:
        variant.drive(2, rate)
    for state in STATES:
        for variant in started:
            variant.behave(state)
        for _ in range(rounds):
            for variant in started:
                variant.rounds[state].append(variant.drive(seconds, rate))
        if state == "healthy":
            for variant in started:
                print(f"{variant.name:<32}{variant.delivered()} of {variant.requests} requests delivered")


def report(started: list[Variant]) -> None:
    """Print the median of the rounds for each state."""
    for title, fields in TABLES.items():
        print(f"\n{title}")
        print(f"{'':<32}" + "".join(f"{state:>20}" for state in STATES))
        for variant in started:
            cells = []
            for state in STATES:
                found = variant.rounds[state]
                shown = [f"{statistics.median(getattr(one, field) for one in found):.1f}" for field in fields]
                cells.append(f"{' / '.join(shown):>20}")
            print(f"{variant.name:<32}" + "".join(cells))


def main(rounds: int = 5, seconds: int = 5, rate: int = 80) -> None:
    """Run, and print the tables."""
    with variants() as started:
        measure(started, rounds, seconds, rate)
        report(started)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
