"""HTTP to Sentry: addresses, keys, proxies, persistent connections, forks, and names of failures."""

from __future__ import annotations

import errno
import http.client
import importlib.util
import os
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from sentry_sdk.utils import Dsn
from urllib3.exceptions import HTTPError, NewConnectionError, ProtocolError, ReadTimeoutError

from e2e.receiver import Receiver
from mita_otel.sentry.transport.ingest_client import ENVELOPE, IngestClient, failure_of, proxy_for

HEADERS = {"Content-Type": "x"}
BODY = b'{}\n{"type":"event"}\n{}'
PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "all_proxy")


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in PROXY_VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


_clients: list[IngestClient] = []


@pytest.fixture(autouse=True)
def _clients_are_closed() -> Iterator[None]:
    yield
    while _clients:
        _clients.pop().close()


def client(dsn: str, timeout_s: float = 60, **options: Any) -> IngestClient:
    made = IngestClient(dsn, options, timeout_s=timeout_s, max_connections=2)
    _clients.append(made)
    return made


@pytest.fixture
def ours(receiver: Receiver) -> IngestClient:
    return client(receiver.dsn)


def test_a_request_names_the_project_and_its_key(receiver: Receiver) -> None:
    ours = client(f"http://publickey:hunter2@127.0.0.1:{receiver.port}/behind/1")
    assert ours.post(ENVELOPE, BODY, HEADERS).status == 200
    [request] = receiver.requests
    assert request.path == "/behind/api/1/envelope/"
    assert request.headers["Content-Type"] == "x"
    assert request.headers["User-Agent"].startswith("sentry.python.mita_otel/")
    auth = request.headers["X-Sentry-Auth"]
    assert "sentry_key=publickey, sentry_version=7, sentry_client=sentry.python.mita_otel/" in auth
    assert auth.endswith(", sentry_secret=hunter2")


def test_one_persistent_connection_serves_all_threads(receiver: Receiver, ours: IngestClient) -> None:
    for _ in range(5):
        response = ours.post(ENVELOPE, BODY, HEADERS)
        assert (response.status, response.body, response.headers["content-type"]) == (
            200,
            b"{}",
            "application/json",
        )
    thread = threading.Thread(target=ours.post, args=(ENVELOPE, BODY, HEADERS))
    thread.start()
    thread.join()
    assert receiver.connections == 1
    assert len(receiver.events) == 6


def test_a_connection_closed_by_the_server_is_replaced(receiver: Receiver, ours: IngestClient) -> None:
    ours.post(ENVELOPE, BODY, HEADERS)
    receiver.drop_connections()
    assert ours.post(ENVELOPE, BODY, HEADERS).status == 200
    assert receiver.connections == 2


def test_a_truncated_response_closes_the_connection_only(receiver: Receiver, ours: IngestClient) -> None:
    receiver.behaviour = "reset"
    assert ours.post(ENVELOPE, BODY, HEADERS) == (200, {"content-length": "1000"}, b"")
    receiver.behaviour = "ok"
    assert ours.post(ENVELOPE, BODY, HEADERS).status == 200
    assert receiver.connections == 2


def test_a_response_can_be_read_without_its_body(receiver: Receiver, ours: IngestClient) -> None:
    response = ours.post(ENVELOPE, BODY, HEADERS, read_body=False)
    assert (response.status, response.body) == (200, b"")
    assert response.headers["content-type"] == "application/json"


def test_a_request_without_a_response_is_retried_once(receiver: Receiver, ours: IngestClient) -> None:
    receiver.behaviour = "cut"
    with pytest.raises(HTTPError) as caught:
        ours.post(ENVELOPE, BODY, HEADERS)
    assert receiver.refused == 2
    assert failure_of(caught.value) in {"closed without a response", "connection reset by peer"}


def test_a_timeout_is_not_retried(receiver: Receiver) -> None:
    receiver.behaviour = "hang"
    with pytest.raises(HTTPError) as caught:
        client(receiver.dsn, timeout_s=0.2).post(ENVELOPE, BODY, HEADERS)
    assert receiver.refused == 1
    assert failure_of(caught.value) == "timed out"


def test_a_server_without_a_trusted_certificate_is_refused(receiver: Receiver) -> None:
    with pytest.raises(HTTPError, match=r"(?i)ssl|wrong version|eof"):
        client(f"https://key@127.0.0.1:{receiver.port}/1").post(ENVELOPE, BODY, HEADERS)


def test_a_closed_client_sends_nothing(receiver: Receiver, ours: IngestClient) -> None:
    ours.close()
    with pytest.raises(HTTPError):
        ours.post(ENVELOPE, BODY, HEADERS)
    assert receiver.requests == []


def test_a_host_in_ipv6_is_written_in_brackets() -> None:
    assert client("http://key@[::1]:9000/1").address == "[::1]:9000"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_opens_its_own_connection(receiver: Receiver, ours: IngestClient) -> None:
    ours.post(ENVELOPE, BODY, HEADERS)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if ours.post(ENVELOPE, BODY, HEADERS).status == 200 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ours.post(ENVELOPE, BODY, HEADERS)
    assert receiver.connections == 2
    assert len(receiver.events) == 3


# --- proxies -----------------------------------------------------------------------------------------
HTTP, HTTPS = "http://key@sentry.example/1", "https://key@sentry.example:8443/1"
ONE, TWO = "http://one.example:3128", "http://two.example:3128"


@pytest.mark.parametrize(
    ("dsn", "options", "env", "proxy"),
    [
        (HTTP, {}, {}, None),
        (HTTP, {}, {"HTTP_PROXY": ONE}, ONE),
        (HTTP, {}, {"http_proxy": ONE}, ONE),
        (HTTP, {}, {"HTTPS_PROXY": ONE}, None),
        (HTTPS, {}, {"HTTPS_PROXY": ONE, "HTTP_PROXY": TWO}, ONE),
        (HTTPS, {}, {"HTTP_PROXY": TWO}, TWO),
        (HTTPS, {"https_proxy": TWO}, {"HTTPS_PROXY": ONE}, TWO),
        (HTTPS, {"http_proxy": TWO}, {}, TWO),
        (HTTPS, {"https_proxy": "", "http_proxy": ""}, {"HTTPS_PROXY": ONE, "HTTP_PROXY": TWO}, None),
        (HTTP, {"http_proxy": ""}, {"HTTP_PROXY": ONE}, None),
        (HTTP, {}, {"HTTP_PROXY": ONE, "NO_PROXY": "other.example, sentry.example"}, None),
        (HTTP, {}, {"HTTP_PROXY": ONE, "NO_PROXY": ".example"}, None),
        (HTTP, {}, {"HTTP_PROXY": ONE, "NO_PROXY": "entry.example"}, ONE),
        (HTTPS, {}, {"HTTPS_PROXY": ONE, "NO_PROXY": "sentry.example:8443"}, None),
        (HTTP, {}, {"HTTP_PROXY": ONE, "NO_PROXY": "other.example,"}, ONE),
        (HTTP, {"http_proxy": ONE}, {"NO_PROXY": "sentry.example"}, ONE),
    ],
)
def test_options_and_environment_select_the_proxy(
    monkeypatch: pytest.MonkeyPatch, dsn: str, options: dict[str, str], env: dict[str, str], proxy: str | None
) -> None:
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert proxy_for(Dsn(dsn), options) == proxy


def test_a_proxy_gets_the_whole_url_its_user_and_its_headers(receiver: Receiver) -> None:
    proxy = f"http://user:hunt%20er2@127.0.0.1:{receiver.port}"
    ours = client("http://key@sentry.example/1", http_proxy=proxy, proxy_headers={"X-Zone": "dmz"})
    assert ours.post(ENVELOPE, BODY, HEADERS).status == 200
    [request] = receiver.requests
    assert request.path == "http://sentry.example/api/1/envelope/"
    assert request.headers["X-Zone"] == "dmz"
    [sent] = [value for name, value in request.headers.items() if name.lower() == "proxy-authorization"]
    assert sent == urllib3.make_headers(proxy_basic_auth="user:hunt er2")["proxy-authorization"]


def test_a_missing_socks_library_is_logged_with_the_fix(
    caplog: pytest.LogCaptureFixture, receiver: Receiver
) -> None:
    if importlib.util.find_spec("socks") is not None:
        pytest.skip("PySocks is installed")
    ours = client(receiver.dsn, http_proxy="socks5://127.0.0.1:1")
    assert "pip install 'urllib3[socks]'" in caplog.text
    assert ours.post(ENVELOPE, BODY, HEADERS).status == 200


def test_sockets_get_the_options_of_the_client() -> None:
    own = (socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    quiet = client(HTTP, socket_options=[own])._settings["socket_options"]
    assert quiet == [own]
    alive = client(HTTP, keep_alive=True)._settings["socket_options"]
    assert (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1) in alive
    assert (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1) in alive


# --- names of failures ------------------------------------------------------------------------
def _caused(outer: Exception, inner: Exception) -> Exception:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"), "connection refused"),
        (
            _caused(
                NewConnectionError(None, "HTTPConnection(host='h', port=1): Failed"),  # type: ignore[arg-type]
                ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
            ),
            "connection refused",
        ),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "name or service not known"),
        (
            ProtocolError("Connection aborted.", http.client.RemoteDisconnected("gone")),
            "closed without a response",
        ),
        (ReadTimeoutError(None, "/api/1/envelope/?key=x", "timed out"), "timed out"),  # type: ignore[arg-type]
        (TimeoutError(), "timed out"),
        (ValueError("key=x"), "ValueError"),
    ],
)
def test_a_failure_is_named_without_addresses(error: Exception, said: str) -> None:
    assert failure_of(error) == said
