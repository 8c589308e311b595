"""Connections to Sentry that are kept open, one a sending thread.

The standard library's client costs half the CPU of the next best for a small POST (see `benchmarks/`); what it does
not do, proxies, is left to sentry-sdk's pool.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import ssl
import threading
from collections.abc import Mapping
from typing import Any, Final

import certifi

from mita_otel.processors.forks import after_monkey_patch

_MAX_ANSWER: Final = 65_536
"""Bytes of an answer that are read: Sentry's are some dozens."""
_STALE: Final = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError, ssl.SSLEOFError)
"""What using a connection gives that the other end has closed meanwhile."""


class Answer:
    """What sentry-sdk's transport wants of a response.

    Args:
        status: HTTP status.
        headers: Looked up without regard to case.
        data: The body's beginning.
    """

    def __init__(self, status: int, headers: http.client.HTTPMessage, data: bytes) -> None:
        self.status = status
        self.headers = headers
        self.data = data

    def close(self) -> None:
        """Do nothing: the body has been read."""


class Connections:
    """Posts to one host, over a connection a thread.

    Args:
        scheme: `http` or `https`.
        host: Name or address.
        port: Port.
        timeout_s: Seconds that connecting, sending and each part of the answer may take.
        context: TLS settings; needed for `https`.
    """

    def __init__(
        self, scheme: str, host: str, port: int, *, timeout_s: float, context: ssl.SSLContext | None = None
    ) -> None:
        self._secure = scheme == "https"
        self._host = host
        self._port = port
        self._timeout_s = timeout_s
        self._context = context
        self._renew()
        after_monkey_patch(self._renew)
        # No lock, which a fork could find held: adding and discarding are atomic.
        self._open: set[http.client.HTTPConnection] = set()

    def _renew(self) -> None:
        self._local = threading.local()

    def close(self) -> None:
        """Close every connection, also one that waits for an answer."""
        connections, self._open = self._open, set()
        for connection in connections:
            connection.close()

    def post(self, path: str, body: bytes, headers: Mapping[str, str]) -> Answer:
        """Post, once more over a new connection if the old one had been closed.

        Raises:
            OSError: The host cannot be reached, or does not answer in time.
            http.client.HTTPException: It does not speak HTTP.
        """
        # A forked child must not write into its parent's connection.
        kept = (
            self._local.__dict__.get("connection") if self._local.__dict__.get("pid") == os.getpid() else None
        )
        if kept is not None:
            with contextlib.suppress(*_STALE):
                return self._ask(kept, path, body, headers)
        fresh = self._connection()
        self._local.connection, self._local.pid = fresh, os.getpid()
        return self._ask(fresh, path, body, headers)

    def _ask(
        self, connection: http.client.HTTPConnection, path: str, body: bytes, headers: Mapping[str, str]
    ) -> Answer:
        try:
            connection.request("POST", path, body, dict(headers))
            response = connection.getresponse()
            data = response.read(_MAX_ANSWER)
            whole = response.isclosed() or response.length == 0
        except BaseException:
            self._forget(connection)
            raise
        if not whole or response.will_close:
            self._forget(connection)
        return Answer(response.status, response.headers, data)

    def _connection(self) -> http.client.HTTPConnection:
        connection = (
            http.client.HTTPSConnection(
                self._host, self._port, timeout=self._timeout_s, context=self._context
            )
            if self._secure
            else http.client.HTTPConnection(self._host, self._port, timeout=self._timeout_s)
        )
        self._open.add(connection)
        return connection

    def _forget(self, connection: http.client.HTTPConnection) -> None:
        self._local.connection = None
        self._open.discard(connection)
        connection.close()


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return TLS settings by sentry-sdk's options and the variables that it heeds."""
    context = ssl.create_default_context(
        cafile=options.get("ca_certs")
        or os.environ.get("SSL_CERT_FILE")
        or os.environ.get("REQUESTS_CA_BUNDLE")
        or certifi.where()
    )
    certificate = options.get("cert_file") or os.environ.get("CLIENT_CERT_FILE")
    if certificate:
        context.load_cert_chain(certificate, options.get("key_file") or os.environ.get("CLIENT_KEY_FILE"))
    return context
