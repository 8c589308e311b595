"""What the mobile gateway costs the routes beside it, what one envelope costs, what becomes of a crowd's.

    python benchmarks/bench_mobile.py

A FastAPI service answers one client, a request after the other, while another client sends envelopes at a fixed rate,
and Sentry takes its time. Three arrangements, in turns: the envelopes go to a route that reads and forgets them, to the
gateway with its engine in a process of its own (the default), and to the gateway with its engine on a thread of the
service. What counts is the ratio to the route that does nothing.
"""

from __future__ import annotations

import gzip
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx

from mita_otel.mobile.preparation import Intake, Preparer
from mita_otel.policy import default_policy
from mita_otel.policy.mobile import MobileProject
from mita_otel.redaction import Redactor

RECORDED = Path(__file__).parents[1] / "examples" / "mobile" / "recorded"
KEY = "0123456789abcdef0123456789abcdef"
AUTH = {"x-sentry-auth": f"Sentry sentry_version=7, sentry_key={KEY}", "content-encoding": "gzip"}
ROUNDS = int(os.environ.get("ROUNDS", "5"))
REQUESTS = 500
APPS, EACH = 64, 20
PER_SECOND = 60
"""Envelopes a second: what some ten thousand users of an app send."""

APP = """
import mita_otel
from fastapi import FastAPI, Request

app = FastAPI()
app.include_router(mita_otel.mobile_router())

@app.post("/nothing")
async def nothing(request: Request) -> None:
    await request.body()

@app.get("/hello")
async def hello() -> dict[str, str]:
    return {"hello": "world"}
"""

POLICY = """
[export]
traces = ["none"]
[mobile.projects.app]
id = "42"
keys = ["%s"]
upstream = "http://aaaaaaaaaaaaaaaa@127.0.0.1:%d/1"
[mobile.intake]
isolation = "%s"
[mobile.rate]
client_burst = 100000
client_per_minute = 1000000
total_per_minute = 1000000
"""


NOTHING, ENVELOPE = "/nothing", "/api/42/envelope/"


class Sentry(ThreadingHTTPServer):
    """Takes everything, and takes its time."""

    daemon_threads = True
    takes_s = 0.0
    taken = 0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.port = int(self.server_address[1])
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        """A service that ended is no news."""


class Answering(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Sentry

    def do_POST(self) -> None:
        """Answer."""
        self.rfile.read(int(self.headers["content-length"]))
        time.sleep(self.server.takes_s)
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
        self.server.taken += 1

    def log_message(self, *_: Any) -> None:
        """Be quiet."""


class Service:
    """A server with the gateway in it."""

    def __init__(self, isolation: str, upstream: int) -> None:
        self.folder = tempfile.TemporaryDirectory()
        folder = Path(self.folder.name)
        (folder / "app.py").write_text(APP)
        (folder / "mita-otel.toml").write_text(POLICY % (KEY, upstream, isolation))
        command = [sys.executable, "-m", "uvicorn", "app:app", "--port", "0", "--no-access-log"]
        self.process = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        found = None
        while found is None:
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.process.stderr.readline())
        self.url = f"http://127.0.0.1:{found[1]}"
        threading.Thread(target=self.process.stderr.read, daemon=True).start()
        httpx.post(f"{self.url}/api/42/envelope/", content=bodies()[0], headers=AUTH, timeout=30)

    def close(self) -> None:
        """End it."""
        self.process.terminate()
        self.process.wait(30)
        self.folder.cleanup()


def bodies(number: int = 0) -> list[bytes]:
    """Return envelopes of an app: no two alike, each with the hundred breadcrumbs that an app keeps."""
    names = ("screen_render", "api_request", "payment_error", "ui_load", "session_start", "logs")
    return [gzip.compress(body(name, number)) for name in names]


def body(name: str, number: int = 0) -> bytes:
    """Return one envelope."""
    header, item, payload = (RECORDED / f"{name}.envelope").read_bytes().split(b"\n")[:3]
    value = json.loads(payload)
    if "breadcrumbs" in value:
        value["breadcrumbs"] = [
            {**crumb, "data": {**crumb.get("data", {}), "view.id": f"item {number + n}"}}
            for n, crumb in enumerate(value["breadcrumbs"] * 17)
        ]
    text = json.dumps(value).replace(
        "2025-11-24T09:00", f"2025-11-{number % 28 + 1:02d}T09:{number % 60:02d}"
    )
    return b"\n".join([header, json.dumps({**json.loads(item), "length": len(text)}).encode(), text.encode()])


SENDER = """
import sys, time, httpx
from bench_mobile import AUTH, bodies
url, per_second = sys.argv[1], float(sys.argv[2])
packed, sent = [one for number in range(40) for one in bodies(number * 997)], 0
started = time.monotonic()
with httpx.Client(timeout=30) as client:
    while True:
        client.post(url, content=packed[sent % len(packed)], headers=AUTH)
        sent += 1
        time.sleep(max(0, started + sent / per_second - time.monotonic()))
"""


def latencies(url: str) -> list[float]:
    taken = []
    with httpx.Client() as client:
        for _ in range(REQUESTS):
            started = time.perf_counter()
            client.get(f"{url}/hello")
            taken.append((time.perf_counter() - started) * 1000)
            time.sleep(0.002)
    return sorted(taken)


def measured(service: Service, path: str) -> list[float]:
    folder = str(Path(__file__).parent)
    sender = subprocess.Popen([sys.executable, "-c", SENDER, service.url + path, str(PER_SECOND)], cwd=folder)
    time.sleep(1.5)
    try:
        return latencies(service.url)
    finally:
        sender.terminate()
        sender.wait()


def cpu_s(pid: int) -> float:
    """Return the seconds of CPU that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def cpu_ms_each(service: Service, path: str, sentry: Sentry) -> float:
    """Return the milliseconds of the service's own process for each envelope, until Sentry has them all."""
    packed = [one for number in range(40) for one in bodies(number * 997)]
    expected = sentry.taken + (len(packed) if path != NOTHING else 0)
    before = cpu_s(service.process.pid)
    with httpx.Client(timeout=30) as client:
        for one in packed:
            client.post(service.url + path, content=one, headers=AUTH)
    while sentry.taken < expected:
        time.sleep(0.1)
    return (cpu_s(service.process.pid) - before) / len(packed) * 1000


def routes() -> None:
    sentry = Sentry()
    services = {name: Service(name, sentry.port) for name in ("process", "thread")}
    arrangements = {
        "a route that does nothing": (services["process"], NOTHING),
        "gateway, engine in a process": (services["process"], ENVELOPE),
        "gateway, engine on a thread": (services["thread"], ENVELOPE),
    }
    columns = ("CPU ms", "p50 ms", "p95 ms")
    rounds: dict[str, list[tuple[float, ...]]] = {name: [] for name in arrangements}
    for _ in range(ROUNDS):
        for name, (service, path) in arrangements.items():
            sentry.takes_s = 0
            used = cpu_ms_each(service, path, sentry)
            sentry.takes_s = 0.1
            taken = measured(service, path)
            rounds[name].append((used, taken[REQUESTS // 2], taken[int(REQUESTS * 0.95)]))
    for service in services.values():
        service.close()
    base = next(iter(rounds))
    print(f"CPU of the service's process for an envelope; another route while {PER_SECOND} a second come")
    print(f"(medians of {ROUNDS} rounds, and the ratio to the first line):")
    print(f"  {'':28} " + " ".join(f"{column:>8} {'':>6}" for column in columns))
    for name in rounds:
        shown = f"  {name:28}"
        for column in range(len(columns)):
            value, reference = (
                statistics.median(one[column] for one in rounds[which]) for which in (name, base)
            )
            shown += f" {value:8.2f} {value / reference:6.2f}"
        print(shown)


def crowd() -> None:
    """Let many apps send at once while Sentry takes a second for each; count what it has in the end."""
    sentry = Sentry()
    service = Service("process", sentry.port)
    while sentry.taken < 1:  # the one that the service was started with
        time.sleep(0.1)
    sentry.taken, sentry.takes_s = 0, 1.0
    packed = bodies()
    answers: Counter[int] = Counter()

    def send(app: int) -> None:
        with httpx.Client(timeout=60) as client:
            for number in range(EACH):
                content = packed[(app + number) % len(packed)]
                answers[client.post(service.url + ENVELOPE, content=content, headers=AUTH).status_code] += 1

    started = time.monotonic()
    with ThreadPoolExecutor(APPS) as pool:
        list(pool.map(send, range(APPS)))
    took_s, at_once = time.monotonic() - started, sentry.taken
    sentry.takes_s = 0
    deadline = time.monotonic() + 120
    while sentry.taken < answers[200] and time.monotonic() < deadline:
        time.sleep(0.1)
    service.close()
    print(f"{APPS} apps at once, {EACH} envelopes each, while Sentry takes a second for each:")
    print(
        f"  answers {dict(answers)} in {took_s:.1f} s, when Sentry had {at_once}; in the end it had {sentry.taken}"
    )


def envelopes() -> None:
    policy = default_policy()
    project = MobileProject(id="42", keys=(KEY,), store=True)
    mobile = policy.mobile.replace(projects={"app": project})
    policy = policy.replace(mobile=mobile)
    preparer = Preparer(policy, Redactor(policy), lambda *_: False)
    print("one envelope, prepared (unpacked, read, redacted, measured, written), CPU:")
    for name in ("session_start", "logs", "api_request", "screen_render", "payment_error"):
        intakes = [Intake("app", gzip.compress(body(name, 997 * n)), "gzip") for n in range(50)]
        started = time.process_time()
        for intake in intakes:
            preparer.prepare(intake)
        each_ms = (time.process_time() - started) / len(intakes) * 1000
        print(f"  {name:16} {len(body(name)):6} bytes {each_ms:7.2f} ms")


if __name__ == "__main__":
    envelopes()
    crowd()
    routes()
