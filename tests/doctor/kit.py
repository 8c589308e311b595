"""Servers with one fault each, certificates, and packages of which only the metadata is installed."""

from __future__ import annotations

import contextlib
import re
import shutil
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from alerts.receivers import HttpReceiver
from mita_otel.policy import Policy, default_policy
from mita_otel.sdk.health.check import Check, Status

PUBLIC_KEY = "0123456789abcdef0123456789abcdef"
"""A key in Sentry's format; it belongs to no project."""

Examined = Callable[..., dict[str, Check]]


def by_name(checks: object) -> dict[str, Check]:
    return {one.name: one for one in checks}  # type: ignore[attr-defined]


def failing(found: dict[str, Check]) -> dict[str, str]:
    return {name: one.said for name, one in found.items() if one.status is Status.FAIL}


def warning(found: dict[str, Check]) -> dict[str, str]:
    return {name: one.said for name, one in found.items() if one.status is Status.WARN}


def dsn_at(port: int, *, scheme: str = "http", host: str = "127.0.0.1") -> str:
    return f"{scheme}://{PUBLIC_KEY}@{host}:{port}/1"


def dsn_of(http: HttpReceiver) -> str:
    return f"{http.url.replace('://', f'://{PUBLIC_KEY}@')}/1"


def where(http: HttpReceiver) -> str:
    return http.url.removeprefix("http://")


def policy_with(**doctor: float) -> Policy:
    """Return a policy in which nothing is slow, however busy the machine is."""
    policy, doctor = default_policy(), {"slow_s": 600.0, **doctor}
    return policy.replace(doctor=policy.doctor.replace(**doctor))


# --- servers -----------------------------------------------------------------------------------------
class Wire:
    """Accepts connections, and calls `behave` with each of them on a separate thread.

        Args:
    behave: Receives the connection, and an event that is set when the test ends.
    tls: Encrypts the connections; None: they are not encrypted.
    """

    def __init__(
        self, behave: Callable[[socket.socket, threading.Event], None], tls: ssl.SSLContext | None = None
    ) -> None:
        self._behave = behave
        self._tls = tls
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self._ending.is_set():
                connection.close()
                return
            thread = threading.Thread(target=self._serve, args=(connection,))
            self._threads.append(thread)
            thread.start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(30)
        with connection, contextlib.suppress(OSError):
            if self._tls is None:
                self._behave(connection, self._ending)
                return
            with self._tls.wrap_socket(connection, server_side=True) as encrypted:
                self._behave(encrypted, self._ending)

    def close(self) -> None:
        self._ending.set()
        with contextlib.suppress(OSError):  # ends the pending accept
            socket.create_connection(("127.0.0.1", self.port), 5).close()
        self._listener.close()
        for thread in self._threads:
            thread.join(30)


def read_request(connection: socket.socket) -> None:
    """Read a whole request: closing a connection with unread data would discard the response."""
    read = b""
    while b"\r\n\r\n" not in read:
        more = connection.recv(65_536)
        if not more:
            return
        read += more
    head, _, body = read.partition(b"\r\n\r\n")
    length = re.search(rb"(?i)content-length: *(\d+)", head)
    while length and len(body) < int(length[1]):
        body += connection.recv(65_536)


def saying(answer: bytes) -> Callable[[socket.socket, threading.Event], None]:
    """Return a behaviour that sends a response and closes the connection."""

    def behave(connection: socket.socket, ending: threading.Event) -> None:
        read_request(connection)
        connection.sendall(answer)

    return behave


OK = saying(
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}"
)


def PLAIN(connection: socket.socket, ending: threading.Event) -> None:  # noqa: N802 - beside OK
    """Answer in plain text, as a web server without TLS answers a TLS handshake."""
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


def silent(connection: socket.socket, ending: threading.Event) -> None:
    """Receive everything, and send nothing."""
    ending.wait(30)


def dripping(connection: socket.socket, ending: threading.Event) -> None:
    """Send single bytes: no read times out, and the headers never end."""
    connection.sendall(b"HTTP/1.1 200 OK\r\nX-Endless: ")
    while not ending.wait(0.02):
        connection.sendall(b"x")


def dawdling(connection: socket.socket, ending: threading.Event) -> None:
    """Send the headers at once, and the body never."""
    read_request(connection)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n")
    ending.wait(30)


# --- certificates ------------------------------------------------------------------------------------
class Pair(NamedTuple):
    """A certificate and its key."""

    certificate: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate, self.key)
        return context


class Authority:
    """Makes certificates with openssl.

    Args:
        folder: Where they are kept.
    """

    def __init__(self, folder: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self._folder = folder
        (folder / "index").write_text("")
        (folder / "openssl.cnf").write_text(
            f"[ca]\ndefault_ca = it\n[it]\ndatabase = {folder}/index\nnew_certs_dir = {folder}\nrand_serial = yes\n"
            "default_md = sha256\npolicy = any\nunique_subject = no\ncopy_extensions = copy\nx509_extensions = leaf\n"
            "[any]\ncommonName = supplied\n"
            "[leaf]\nbasicConstraints = critical, CA:FALSE\nsubjectKeyIdentifier = hash\nauthorityKeyIdentifier = keyid\n"
        )
        self.own = Pair(folder / "authority.pem", folder / "authority.key")
        self._openssl(
            "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=authority of the test",
            "-addext", "basicConstraints=critical,CA:TRUE", "-addext", "keyUsage=critical,keyCertSign,cRLSign",
            "-keyout", str(self.own.key), "-out", str(self.own.certificate),
        )  # fmt: skip

    def certificate(self, name: str, *, subject: str = "IP:127.0.0.1", since: str, until: str) -> Pair:
        """Return a certificate that the authority has signed, valid between two times (`20260101000000Z`)."""
        pair = Pair(self._folder / f"{name}.pem", self._folder / f"{name}.key")
        request = str(self._folder / f"{name}.csr")
        self._openssl(
            "req", "-newkey", "rsa:2048", "-nodes", "-subj", f"/CN={name}", "-addext", f"subjectAltName={subject}",
            "-keyout", str(pair.key), "-out", request,
        )  # fmt: skip
        self._openssl(
            "ca", "-batch", "-notext", "-config", str(self._folder / "openssl.cnf"), "-in", request,
            "-cert", str(self.own.certificate), "-keyfile", str(self.own.key),
            "-startdate", since, "-enddate", until, "-out", str(pair.certificate),
        )  # fmt: skip
        return pair

    def _openssl(self, *arguments: str) -> None:
        done = subprocess.run(["openssl", *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


# --- packages ----------------------------------------------------------------------------------------
def write_package(
    folder: Path,
    name: str,
    version: str,
    *,
    requires: tuple[str, ...] = (),
    points: str = "",
    requested: bool = False,
) -> None:
    """Put the metadata of a package into a folder, as an installer would."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    extras = "".join(f"Requires-Dist: {one}\n" for one in requires)
    provided = "".join(f"Provides-Extra: {one}\n" for one in ("instruments", "instruments-any"))
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{provided}{extras}"
    )
    (info / "entry_points.txt").write_text(points)
    if requested:
        (info / "REQUESTED").touch()
