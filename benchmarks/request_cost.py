"""CPU that telemetry adds to one small request (a server span and two queries), everything delivered and counted.

    make request-cost        # or: python benchmarks/request_cost.py [rounds] [requests a round]; writes RESULTS.md

Each variant is a service of its own (uvicorn) with a backend of its own, which decodes what it gets and counts the
requests in it; the client and the backends are other processes. Rounds are interleaved. What a variant adds in a round
is compared with the service without telemetry in the same round. The unit is what OpenTelemetry's bare SDK adds, with
the contrib instrumentations and an exporter that does nothing: compare ratios, not milliseconds.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

from latency_sink import start_backend

FOLDER = Path(__file__).parent
PATH = "/api/accounts/1/balance"
WARM_UP: Final = 100
"""Requests before the first round."""
PATIENCE_S: Final = 3.0
"""Seconds without a new request after which the rest counts as lost, or as left out by sampling."""
NOTHING, UNIT = "no telemetry", "bare SDK, no exporter"
ALL = {"MITA_OTEL_SAMPLING__MODE": "always"}
QUICK = {"OTEL_BSP_SCHEDULE_DELAY": "500"}
"""OpenTelemetry's own processor waits for five seconds otherwise."""
WAYS: dict[str, tuple[str, dict[str, str]]] = {
    NOTHING: ("nothing", {}),
    UNIT: ("bare", QUICK),
    "ours, instrumentation off": ("mita-otel", {"OTEL_TRACES_SAMPLER": "always_off"}),
    "bare SDK, OTLP over HTTP": ("otlp", QUICK),
    "ddtrace": ("ddtrace", {}),
    "ours, OTLP over HTTP": ("mita-otel", {**ALL, "OTEL_TRACES_EXPORTER": "otlp"}),
    "sentry-sdk with OTLPIntegration": ("sentry-otlp", QUICK),
    "ours, Sentry otlp": ("mita-otel", {**ALL, "MITA_OTEL_SENTRY__PROTOCOL": "otlp"}),
    "sentry-sdk with tracing": ("sentry-sdk", {}),
    "ours, Sentry transactions": ("mita-otel", ALL),
    "ours, Sentry spans": ("mita-otel", {**ALL, "MITA_OTEL_SENTRY__PROTOCOL": "spans"}),
    "ours, Sentry transactions, tail sampling 10 %": ("mita-otel", {"MITA_OTEL_SAMPLING__MODE": "tail"}),
}
EXPORTING: Final = tuple(name for name in WAYS if name not in (NOTHING, UNIT, "ours, instrumentation off"))


class Service:
    """The service, watched in one of the ways."""

    def __init__(self, name: str, folder: Path, backend: int, app: str = "request_cost_app") -> None:
        self.name = name
        way, env = WAYS[name]
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OTEL_", "MITA_", "SENTRY_", "DD_"))
        }
        addresses = {
            "SENTRY_DSN": f"http://key@127.0.0.1:{backend}/1",
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{backend}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            "DD_TRACE_AGENT_URL": f"http://127.0.0.1:{backend}",
            "DD_TRACE_API_VERSION": "v0.4",
            "DD_INSTRUMENTATION_TELEMETRY_ENABLED": "false",
            "DD_REMOTE_CONFIGURATION_ENABLED": "false",
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
        self._backend = f"http://127.0.0.1:{backend}"
        self.sent = 0
        """Requests so far."""

    def drive(self, requests: int) -> float:
        """Send requests, wait until the backend has them, and return the milliseconds of CPU time that each cost."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        before = self._ask(connection, "/cpu")
        for _ in range(requests):
            self._ask(connection, PATH)
        self.sent += requests
        connection.close()
        self._wait()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        spent = self._ask(connection, "/cpu") - before
        connection.close()
        return float(1000 * spent / requests)

    def delivered(self) -> int:
        """Return the number of requests to `PATH` and `/cpu` that the backend has got."""
        with urllib.request.urlopen(f"{self._backend}/requests", timeout=60) as answer:  # noqa: S310
            return int(answer.read())

    def _wait(self) -> None:
        """Wait until the backend has every request, or gets no more."""
        if self.name not in EXPORTING:
            time.sleep(1)
            return
        deadline, got = time.monotonic() + PATIENCE_S, -1
        while time.monotonic() < deadline:
            time.sleep(0.1)
            now = self.delivered()
            if now > got:
                deadline, got = time.monotonic() + PATIENCE_S, now
            if got >= self.sent:
                return

    def _ask(self, connection: http.client.HTTPConnection, path: str) -> Any:
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise SystemExit(f"{self.name}: {response.status} {body!r}")
        if path != PATH:
            self.sent += 1
        return json.loads(body)

    def end(self) -> None:
        """End the service as an orchestrator does."""
        self._process.terminate()
        self._process.wait(20)


@contextmanager
def services() -> Iterator[list[Service]]:
    """Start each variant and its backend, and end them."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mita-otel-bench-")))
        started: list[Service] = []
        for name in WAYS:
            service = Service(name, folder, start_backend(stack))
            stack.callback(service.end)
            started.append(service)
        yield started


class Row(NamedTuple):
    """What one variant adds to a request, in units of the bare SDK."""

    name: str
    median: float
    lowest: float
    highest: float
    delivered: int
    sent: int

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The row as text."""
        share = f"{self.delivered:,} of {self.sent:,}" if self.name in EXPORTING else "none"
        return self.name, f"{self.median:.2f}", f"{self.lowest:.2f} to {self.highest:.2f}", share


def measured(rounds: int, requests: int) -> list[Row]:
    """Drive the variants in interleaved rounds."""
    added: dict[str, list[float]] = {name: [] for name in WAYS}
    with services() as started:
        for service in started:
            service.drive(WARM_UP)
        for _ in range(rounds):
            costs = {service.name: service.drive(requests) for service in started}
            for name, cost in costs.items():
                added[name].append(cost - costs[NOTHING])
        unit = statistics.median(added[UNIT])
        return [
            Row(
                service.name,
                *(choose(added[service.name]) / unit for choose in (statistics.median, min, max)),
                min(service.delivered(), service.sent),
                service.sent,
            )
            for service in started
            if service.name != NOTHING
        ]


def table(rows: list[Row], rounds: int, requests: int) -> str:
    """Return the rows as Markdown."""
    packages = ("opentelemetry-sdk", "sentry-sdk", "ddtrace", "fastapi", "sqlalchemy")
    head = ("variant", "CPU added, median", "lowest to highest", "requests delivered")
    lines = [head, ("---", "---:", "---:", "---:"), *(row.cells for row in rows)]
    return (
        "# Cost of a request\n\n"
        "CPU time that telemetry adds to a request with a server span and two queries, in units of what OpenTelemetry's SDK adds\n"
        "with the contrib instrumentations and an exporter that does nothing. `make request-cost` writes this page.\n\n"
        + "".join(f"| {' | '.join(line)} |\n" for line in lines)
        + f"\n{rounds} interleaved rounds of {requests} requests, Python {sys.version.split()[0]}, "
        + ", ".join(f"{package} {version(package)}" for package in packages)
        + ".\n"
    )


def main(rounds: int = 9, requests: int = 300) -> None:
    """Run, print the table, and write it to RESULTS.md."""
    text = table(measured(rounds, requests), rounds, requests)
    print(text)
    (FOLDER / "RESULTS.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
