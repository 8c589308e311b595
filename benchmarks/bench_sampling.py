"""CPU time a request of the example: exporting every trace, a tenth decided at the end, a tenth decided at the start.

Each way is a service of its own (uvicorn, as its README says), all of them started at once. Rounds are interleaved
and the median of each is taken; what is compared is the CPU time of the service's process, its exporter included,
that a service without telemetry does not spend. Everything is delivered to a sink in a process of its own.

    python benchmarks/bench_sampling.py [rounds] [requests a round]
"""

from __future__ import annotations

import http.client
import multiprocessing
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sink import serve

FOLDER = Path(__file__).parents[1] / "examples" / "payments"
PATHS = ["/api/accounts/1/balance", "/api/accounts/2/transactions", "/api/customers/1/profile"]
BASE = "no telemetry"
WAYS = {"every trace": "always", "a tenth, at the end (tail)": "tail", "a tenth, at the start (head)": "head"}
SETTLE_S = 1.2
"""Longer than spans wait for company: what a round made is exported before its CPU time is read."""


class Service:
    """The example, started with settings of its own."""

    def __init__(self, name: str, folder: str, env: dict[str, str]) -> None:
        self.name = name
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OTEL_", "MITA_", "SENTRY_"))
        }
        binaries = Path(sys.executable).parent
        log = Path(folder) / f"{abs(hash(name))}.log"
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [
                    binaries / "opentelemetry-instrument",
                    binaries / "uvicorn",
                    "app:app",
                    "--port",
                    "0",
                    "--no-access-log",
                ],
                cwd=FOLDER,
                env={**kept, "DATABASE_URL": f"sqlite:///{folder}/{abs(hash(name))}.db", **env},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 60
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            time.sleep(0.1)
        self._port = int(found.group(1))
        self._cpu = psutil.Process(self._process.pid)

    def drive(self, requests: int) -> float:
        """Send requests, and return the milliseconds of CPU time that each cost."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        before = self._cpu.cpu_times()
        for number in range(requests):
            connection.request("GET", PATHS[number % len(PATHS)])
            response = connection.getresponse()
            response.read()
            if response.status != 200:
                raise SystemExit(f"{self.name}: status {response.status}")
        connection.close()
        time.sleep(SETTLE_S)
        after = self._cpu.cpu_times()
        return 1000 * (after.user + after.system - before.user - before.system) / requests

    def end(self) -> None:
        """End the service as an orchestrator does."""
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def services() -> Iterator[list[Service]]:
    context = multiprocessing.get_context("spawn")
    ready = context.Queue()
    sink = context.Process(target=serve, args=(ready,), daemon=True)
    sink.start()
    port = ready.get(timeout=30)
    exporters = {
        "otlp": {
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
        },
        "sentry": {"OTEL_TRACES_EXPORTER": "sentry", "SENTRY_DSN": f"http://key@127.0.0.1:{port}/1"},
    }
    started: list[Service] = []
    with tempfile.TemporaryDirectory(prefix="mita-otel-bench-") as folder:
        try:
            started.append(Service(BASE, folder, {"OTEL_SDK_DISABLED": "true"}))
            for exporter, env in exporters.items():
                for name, mode in WAYS.items():
                    more = {"MITA_OTEL_SAMPLING__MODE": mode, "MITA_OTEL_SAMPLING__RATIO": "0.1"}
                    started.append(Service(f"{exporter}: {name}", folder, {**env, **more}))
            yield started
        finally:
            for service in started:
                service.end()
            sink.terminate()


def main(rounds: int = 7, requests: int = 300) -> dict[str, float]:
    """Run, print the table, and return the milliseconds a request by way."""
    measured: dict[str, list[float]] = {}
    with services() as started:
        for service in started:
            service.drive(60)
        for _ in range(rounds):
            for service in started:
                measured.setdefault(service.name, []).append(service.drive(requests))
    medians = {name: statistics.median(times) for name, times in measured.items()}
    print(f"{'':<40}{'ms CPU':>8}{'added':>8}{'of all':>8}   ({rounds} rounds of {requests} requests)")
    for name, time_ms in medians.items():
        added = time_ms - medians[BASE]
        everything = medians.get(f"{name.partition(':')[0]}: every trace", 0.0) - medians[BASE]
        share = f"{added / everything:>8.2f}" if ":" in name else ""
        print(f"{name:<40}{time_ms:>8.3f}{added:>8.3f}{share}")
    return medians


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
