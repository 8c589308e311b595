"""CPU of one POST of a small envelope to a server in another process, by HTTP client.

Every client keeps its connection. Rounds are interleaved; quote the ratios. Clients that are not installed are named.
"""

from __future__ import annotations

import gzip
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from mita_otel.sentry.transport.connections import Connections

PATH = "/api/1/envelope/"
BODY = gzip.compress(os.urandom(1200))
HEADERS = {
    "Content-Type": "application/x-sentry-envelope",
    "Content-Encoding": "gzip",
    "X-Sentry-Auth": "Sentry sentry_key=publickey, sentry_version=7",
}
ROUNDS, REQUESTS = 9, 200


def sink(ports: Any) -> None:
    """Answer every POST with 200 until the parent ends."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args: Any) -> None:
            """Be quiet."""

        def do_POST(self) -> None:
            """Answer."""
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    ports.put(server.server_address[1])
    server.serve_forever()


def clients(port: int) -> dict[str, Callable[[], object]]:
    """Return a function that posts once, for each client that is installed."""
    url = f"http://127.0.0.1:{port}{PATH}"
    ours = Connections("http", "127.0.0.1", port, timeout_s=5)
    found: dict[str, Callable[[], object]] = {"ours (http.client)": lambda: ours.post(PATH, BODY, HEADERS)}

    import urllib3

    pool = urllib3.PoolManager(num_pools=2, maxsize=4, retries=False, timeout=urllib3.Timeout(total=5))
    found["urllib3 (sentry-sdk)"] = lambda: pool.request("POST", url, body=BODY, headers=HEADERS).data
    direct = pool.connection_from_url(url)
    found["urllib3, its pool alone"] = lambda: direct.urlopen("POST", PATH, body=BODY, headers=HEADERS).data

    import httpx

    client = httpx.Client()
    found["httpx"] = lambda: client.post(url, content=BODY, headers=HEADERS)
    try:
        from pyreqwest.client import SyncClientBuilder
    except ImportError:
        print("pyreqwest is not installed")
    else:
        rust = SyncClientBuilder().build()
        found["pyreqwest"] = lambda: rust.post(url).headers(HEADERS).body_bytes(BODY).build().send().bytes()
    return found


def main() -> None:
    """Measure, and print microseconds and ratios."""
    ports: Any = multiprocessing.Queue()
    server = multiprocessing.Process(target=sink, args=(ports,), daemon=True)
    server.start()
    try:
        posts = clients(ports.get())
        spent: dict[str, list[float]] = {name: [] for name in posts}
        for post in posts.values():
            for _ in range(20):
                post()
        for _ in range(ROUNDS):
            for name, post in posts.items():
                started = time.process_time()
                for _ in range(REQUESTS):
                    post()
                spent[name].append((time.process_time() - started) / REQUESTS * 1e6)
    finally:
        server.terminate()
    base = statistics.median(spent["urllib3 (sentry-sdk)"])
    for name, values in spent.items():
        print(f"{name:26} {statistics.median(values):7.0f} µs CPU  {statistics.median(values) / base:5.2f}")


if __name__ == "__main__":
    main()
