"""What benchmarks deliver to: a server in a process of its own, that reads and forgets."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class _Sink(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *args: Any) -> None:
        """Be quiet."""


def serve(ready: Any) -> None:
    """Serve until the process ends, and put the port into a queue."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    ready.put(server.server_address[1])
    server.serve_forever()
