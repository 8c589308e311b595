"""A backend in a process of its own that answers, refuses or keeps silent, and counts what it accepted."""

from __future__ import annotations

import gzip
import multiprocessing
import threading
from contextlib import ExitStack
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

Behaviour = Literal["healthy", "503", "silent"]


class Backend(ThreadingHTTPServer):
    """Accepts Sentry envelopes and OTLP requests. `PUT /behaviour` sets the behaviour; `GET /requests` returns the count.

    Bodies are kept and decoded on demand, so that decoding takes no CPU time while requests are measured.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behaviour: Behaviour = "healthy"
        self.changed = threading.Event()
        self.bodies: list[tuple[str, bytes]] = []
        self.requests = 0

    def change(self, behaviour: Behaviour) -> None:
        """Set the behaviour. Requests that wait for an answer get one."""
        self.behaviour = behaviour
        self.changed.set()
        self.changed = threading.Event()

    def count(self) -> int:
        """Return the number of the service's requests whose spans were accepted."""
        bodies, self.bodies = self.bodies, []
        self.requests += sum(requests_in(path, body) for path, body in bodies)
        return self.requests


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Backend

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        changed = self.server.changed
        if self.server.behaviour == "silent":
            changed.wait()
            self.close_connection = True
            return
        if self.server.behaviour == "healthy":
            content = _decoded(body, self.headers.get("Content-Encoding"))
            self.server.bodies.append((self.path, content))
        self._answer(200 if self.server.behaviour == "healthy" else 503, b"{}")

    def do_PUT(self) -> None:
        if self.path != "/behaviour":
            self.do_POST()  # Datadog's tracer
            return
        self.server.change(self.rfile.read(int(self.headers["Content-Length"])).decode())  # type: ignore[arg-type]
        self._answer(200, b"{}")

    def do_GET(self) -> None:
        self._answer(200, str(self.server.count()).encode() if self.path == "/requests" else b"{}")

    do_HEAD = do_GET  # noqa: N815 - the base class calls it

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Write no log."""


def _decoded(body: bytes, encoding: str | None) -> bytes:
    if encoding == "br":  # sentry-sdk, if the package is installed
        import brotli

        return brotli.decompress(body)
    return gzip.decompress(body) if encoding == "gzip" else body


def requests_in(path: str, body: bytes) -> int:
    """Return the number of the service's requests whose spans a body of OTLP, Sentry or Datadog contains."""
    if "/v1/traces" in path:
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
        from opentelemetry.proto.trace.v1.trace_pb2 import Span

        request = ExportTraceServiceRequest.FromString(body)
        spans = (span for one in request.resource_spans for scope in one.scope_spans for span in scope.spans)
        return sum(span.kind == Span.SPAN_KIND_SERVER for span in spans)
    if path.startswith("/v0.4/traces"):
        import msgpack

        return sum(
            one.get("type") == "web"
            for trace in msgpack.unpackb(body)
            for one in trace
            if not one.get("parent_id")
        )
    return (body.count(b'"type":"transaction"') and 1) + body.count(b'"is_segment":true')


def serve(ready: Any) -> None:
    """Serve until the process ends, and put the port into a queue."""
    backend = Backend()
    ready.put(backend.server_address[1])
    backend.serve_forever()


def start_backend(stack: ExitStack) -> int:
    """Start a backend in a process of its own, which ends with the stack, and return its port."""
    context = multiprocessing.get_context("spawn")
    ready: Any = context.Queue()
    backend = context.Process(target=serve, args=(ready,), daemon=True)
    backend.start()
    stack.callback(backend.terminate)
    return int(ready.get(timeout=30))
