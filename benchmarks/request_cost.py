"""CPU that telemetry adds to one small request (a server span and two queries), everything delivered to a sink.

    make request-cost        # or: python benchmarks/request_cost.py [rounds] [requests a round]

Each way is a service of its own (uvicorn); the client and the sink are other processes. Rounds are interleaved, and
the median of each way is taken of what its round added to the round of the service without telemetry that was nearest.
The unit is what OpenTelemetry's bare SDK adds, with the contrib instrumentations and an exporter that does nothing:
compare ratios, not milliseconds.
"""

from __future__ import annotations

import http.client
import json
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
from typing import Any

from sink import serve

FOLDER = Path(__file__).parent
PATH = "/api/accounts/1/balance"
SETTLE_S = 1.5
"""Longer than spans wait for company: what a round made is delivered before its CPU time is read."""
NOTHING, UNIT = "no telemetry", "bare SDK, no exporter"
ALL = {"MITA_OTEL_SAMPLING__MODE": "always"}
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    NOTHING: ("nothing", {}),
    UNIT: ("bare", {}),
    "bare SDK, OTLP over HTTP": ("otlp", {}),
    "sentry-sdk with tracing": ("sentry-sdk", {}),
    "ours, Sentry transactions": ("mita-otel", ALL),
    "ours, Sentry spans": ("mita-otel", {**ALL, "MITA_OTEL_SENTRY__PROTOCOL": "spans"}),
    "ours, Sentry otlp": ("mita-otel", {**ALL, "MITA_OTEL_SENTRY__PROTOCOL": "otlp"}),
    "ours, OTLP over HTTP": ("mita-otel", {**ALL, "OTEL_TRACES_EXPORTER": "otlp"}),
    "ours, Sentry transactions, tail sampling 10 %": ("mita-otel", {"MITA_OTEL_SAMPLING__MODE": "tail"}),
}


class Service:
    """The service, watched in one of the ways."""

    def __init__(self, name: str, folder: Path, sink: int, app: str = "request_cost_app") -> None:
        self.name = name
        way, env = WAYS[name]
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OTEL_", "MITA_", "SENTRY_"))
        }
        addresses = {
            "SENTRY_DSN": f"http://key@127.0.0.1:{sink}/1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{sink}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
        }
        log = folder / f"{len(list(folder.iterdir()))}.log"
        command = [sys.executable, "-m", "uvicorn", f"{app}:app", "--port", "0", "--no-access-log"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                command,
                cwd=FOLDER,
                env={**kept, **addresses, **env, "WAY": way},
                stdout=output,
                stderr=output,
            )
        deadline = time.monotonic() + 60
        while not (found := re.search(r"running on http://127\.0\.0\.1:(\d+)", log.read_text())):
            if time.monotonic() > deadline or self._process.poll() is not None:
                raise SystemExit(f"{name} did not start:\n{log.read_text()}")
            time.sleep(0.1)
        self.port = int(found.group(1))
        """The port of the service."""

    def drive(self, requests: int) -> float:
        """Send requests, and return the milliseconds of CPU time that each cost."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        before = self._ask(connection, "/cpu")
        for _ in range(requests):
            self._ask(connection, PATH)
        connection.close()
        time.sleep(SETTLE_S)
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        spent = self._ask(connection, "/cpu") - before
        connection.close()
        return float(1000 * spent / requests)

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> Any:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{self.name}: {response.status} {body!r}")
        return json.loads(body)

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
    started: list[Service] = []
    with tempfile.TemporaryDirectory(prefix="mita-otel-bench-") as folder:
        try:
            for name in WAYS:
                started.append(Service(name, Path(folder), port))  # noqa: PERF401 - ends those before a failure
            yield started
        finally:
            for service in started:
                service.end()
            sink.terminate()


def main(rounds: int = 9, requests: int = 300) -> dict[str, float]:
    """Run, print the table, and return what each way adds, in units of the bare SDK."""
    added: dict[str, list[float]] = {name: [] for name in WAYS}
    with services() as started:
        for service in started:
            service.drive(100)
        for _ in range(rounds):
            costs = {service.name: service.drive(requests) for service in started}
            for name, cost in costs.items():
                added[name].append(cost - costs[NOTHING])
    unit = statistics.median(added[UNIT])
    ratios = {name: statistics.median(values) / unit for name, values in added.items() if name != NOTHING}
    print(f"CPU added to a request, by what it is in units of the bare SDK ({rounds} rounds of {requests})")
    for name, ratio in ratios.items():
        lowest, highest = min(added[name]) / unit, max(added[name]) / unit
        print(f"  {name:<48}{ratio:>6.2f}   ({lowest:.2f} to {highest:.2f})")
    return ratios


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
