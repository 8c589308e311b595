"""A backend on 127.0.0.1: accepts Sentry envelopes and OTLP, or fails like real backends."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import urlsplit

from google.protobuf.json_format import MessageToDict
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from e2e.envelope import Item, decode_body, parse_envelope

Behaviour = Literal["ok", "hang", "reset", "cut"] | int

_OTLP: dict[str, Any] = {
    "/v1/traces": ExportTraceServiceRequest,
    "/api/1/integration/otlp/v1/traces/": ExportTraceServiceRequest,  # Sentry's
    "/v1/logs": ExportLogsServiceRequest,
    "/v1/metrics": ExportMetricsServiceRequest,
}


@dataclass(frozen=True)
class Received:
    """One request, decoded."""

    path: str
    headers: Mapping[str, str]
    body: bytes
    items: list[Item] = field(default_factory=list)
    message: Any = None
    header: Mapping[str, Any] = field(default_factory=dict)
    """The envelope's."""


class Receiver:
    """A threaded HTTP server that stores received requests.

    Its behaviour may be changed at any time: "ok", "hang" (take the request, never answer), "reset" (cut the
    connection in the middle of the answer), "cut" (without any answer), or a status such as 429.
    """

    def __init__(self) -> None:
        self.behaviour: Behaviour = "ok"
        self.answer_headers: dict[str, str] = {}
        self.changed = threading.Condition()
        self.requests: list[Received] = []
        self.refused = 0
        """The number of requests that were not answered with 200."""
        self.refused_lines: list[str] = []
        """The first lines of proxy requests."""
        self.bad: list[str] = []
        """Parse errors."""
        self.closing = threading.Event()
        self.on_close: list[Callable[[], object]] = []
        """Called before the receiver ends, to stop its senders."""
        receiver = self

        class Handler(_Handler):
            owner = receiver

        self._server = _Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    # -- addresses -----------------------------------------------------------------------------
    @property
    def dsn(self) -> str:
        return f"http://publickey@127.0.0.1:{self.port}/1"

    @property
    def otlp_endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    # -- received data -----------------------------------------------------------------------------------
    def items(self, kind: str) -> list[dict[str, Any]]:
        with self.changed:
            return [item.json() for one in self.requests for item in one.items if item.type == kind]

    @property
    def transactions(self) -> list[dict[str, Any]]:
        return self.items("transaction")

    @property
    def events(self) -> list[dict[str, Any]]:
        return self.items("event")

    @property
    def streamed_spans(self) -> list[dict[str, Any]]:
        """Spans of Sentry's span protocol, version 2."""
        return [span for item in self.items("span") for span in item["items"]]

    @property
    def client_reports(self) -> list[dict[str, Any]]:
        return self.items("client_report")

    @property
    def envelope_headers(self) -> list[Mapping[str, Any]]:
        """The headers of the envelopes with a transaction or spans in them."""
        with self.changed:
            return [
                one.header
                for one in self.requests
                if any(i.type in {"transaction", "span"} for i in one.items)
            ]

    @property
    def raw(self) -> bytes:
        """Return the decoded bytes of all bodies."""
        with self.changed:
            return b"\n".join(one.body for one in self.requests)

    @property
    def otlp_spans(self) -> list[dict[str, Any]]:
        spans: list[dict[str, Any]] = []
        with self.changed:
            for one in self.requests:
                if one.path.strip("/").endswith("v1/traces"):
                    for resource in MessageToDict(one.message).get("resourceSpans", []):
                        for scope in resource.get("scopeSpans", []):
                            spans.extend(scope.get("spans", []))
        return spans

    def wait_for(self, predicate: Callable[[Receiver], Any], timeout: float = 60.0) -> Any:
        """Wait until the predicate is true, and return its result. Fails after `timeout` seconds."""
        with self.changed:
            result = self.changed.wait_for(lambda: predicate(self), timeout)
        if not result:
            raise AssertionError(
                f"the receiver waited {timeout} s in vain; it has {len(self.requests)} requests, "
                f"{len(self.transactions)} transactions "
                f"({[one.get('transaction') for one in self.transactions][-10:]}), "
                f"{len(self.events)} events, refused {self.refused}, bad {self.bad[:3]}"
            )
        return result

    def take(self, received: Received) -> None:
        with self.changed:
            self.requests.append(received)
            self.changed.notify_all()

    @property
    def connections(self) -> int:
        """The number of connections opened so far."""
        return self._server.opened

    def drop_connections(self) -> None:
        """Close every persistent connection."""
        self._server.drop_connections()

    def refuse(self) -> None:
        """Close the port: later connections are refused."""
        self._server.shutdown()
        self._server.server_close()

    def close(self) -> None:
        """End the server and all hanging requests."""
        self.closing.set()
        for end in self.on_close:
            end()
        self.refuse()
        self._thread.join(60)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, *args: Any) -> None:
        self._open: set[socket.socket] = set()
        self.opened = 0
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._open.add(request)
        self.opened += 1
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self._open.discard(request)
        super().shutdown_request(request)

    def drop_connections(self) -> None:
        for connection in list(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Ignore disconnected clients."""


class _Handler(BaseHTTPRequestHandler):
    owner: Receiver
    protocol_version = "HTTP/1.1"
    timeout = 120

    def log_message(self, *args: Any) -> None:
        """Log nothing."""

    def do_CONNECT(self) -> None:
        with self.owner.changed:
            self.owner.refused_lines.append(self.requestline)
        self._answer(502)

    def do_POST(self) -> None:
        owner = self.owner
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        behaviour = owner.behaviour
        if behaviour != "ok":
            with owner.changed:
                owner.refused += 1
                owner.changed.notify_all()
        if behaviour == "hang":
            owner.closing.wait(60)
            self.close_connection = True
        elif behaviour in {"reset", "cut"}:
            if behaviour == "reset":
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{")
                self.wfile.flush()
            linger = struct.pack("ii", 1, 0)  # close with RST
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.close_connection = True
        elif behaviour == "ok":
            try:
                owner.take(self._parse(body))
            except Exception as error:  # noqa: BLE001 - whatever came, the test shall hear of it
                with owner.changed:
                    owner.bad.append(f"{self.path}: {type(error).__name__}: {error}")
                    owner.changed.notify_all()
                self._answer(400)
            else:
                self._answer(200)
        else:
            self._answer(int(behaviour))

    def _parse(self, body: bytes) -> Received:
        decoded = decode_body(body, self.headers.get("Content-Encoding", ""))
        headers = dict(self.headers.items())
        # A proxy receives the whole URL; a DSN may have a path before its project.
        if urlsplit(self.path).path.endswith("/api/1/envelope/"):
            header, items = parse_envelope(decoded)
            return Received(self.path, headers, decoded, items=items, header=header)
        if self.path in _OTLP:
            return Received(self.path, headers, decoded, message=_OTLP[self.path].FromString(decoded))
        raise ValueError("no such address")

    def _answer(self, status: int) -> None:
        body = b"{}" if status == 200 and not self.path.startswith("/v1/") else b""
        self.send_response(status)
        for name, value in self.owner.answer_headers.items():
            self.send_header(name, value)
        kind = "application/x-protobuf" if self.path.startswith("/v1/") else "application/json"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
