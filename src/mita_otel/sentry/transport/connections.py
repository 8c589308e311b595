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
from typing import Any, Final, NamedTuple

import certifi

from mita_otel.errors import ConfigurationError
from mita_otel.processors.queues.forks import after_monkey_patch

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


class Heard(NamedTuple):
    """The beginning of an answer."""

    status: int
    headers: Mapping[str, str]
    """By name in small letters."""


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

    def hear(self, path: str, body: bytes, headers: Mapping[str, str]) -> Heard:
        """Post over a connection of its own, and return the beginning of the answer as soon as it is there.

        Raises:
            OSError: The host cannot be reached, or does not answer in time.
            http.client.HTTPException: It does not speak HTTP.
        """
        connection = self._connection()
        try:
            connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            return Heard(answer.status, in_small_letters(answer.headers))
        finally:
            self._open.discard(connection)
            connection.close()

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


def in_small_letters(headers: Any) -> dict[str, str]:
    """Return headers by name in small letters."""
    return {str(name).lower(): str(value) for name, value in headers.items()}


class Trust(NamedTuple):
    """Whose certificates are believed."""

    file: str
    """The authorities' certificates."""
    named_by: str
    """The option or variable that names the file; empty: it is that of the package certifi."""


def trust(options: Mapping[str, Any]) -> Trust:
    """Return whose certificates are believed, by sentry-sdk's options and the variables that it heeds."""
    if options.get("ca_certs"):
        return Trust(str(options["ca_certs"]), "ca_certs")
    for variable in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        if os.environ.get(variable):
            return Trust(os.environ[variable], variable)
    return Trust(certifi.where(), "")


def tls_context(options: Mapping[str, Any]) -> ssl.SSLContext:
    """Return TLS settings by sentry-sdk's options and the variables that it heeds.

    Raises:
        ConfigurationError: A file of certificates cannot be read.
    """
    believed = trust(options)
    try:
        context = ssl.create_default_context(cafile=believed.file)
    except OSError as error:
        raise ConfigurationError(
            f"{believed.named_by or 'certifi'} names the certificates in {believed.file}, which cannot be read "
            f"({error.strerror or error}): name a file of certificates in PEM form, or unset it"
        ) from error
    certificate = options.get("cert_file") or os.environ.get("CLIENT_CERT_FILE")
    if certificate:
        key = options.get("key_file") or os.environ.get("CLIENT_KEY_FILE")
        try:
            context.load_cert_chain(certificate, key)
        except OSError as error:
            raise ConfigurationError(
                f"the client's certificate {certificate} or its key {key} cannot be used ({error.strerror or error}); "
                "check CLIENT_CERT_FILE and CLIENT_KEY_FILE"
            ) from error
    return context
