"""Connections that are kept open: one a thread, TLS checked, never a parent's."""

from __future__ import annotations

import os
import signal
import ssl
import threading
from collections.abc import Iterator

import pytest

from e2e.receiver import Receiver
from mita_otel.errors import ConfigurationError
from mita_otel.sentry.transport.connections import Connections, tls_context

PATH, HEADERS = "/api/1/envelope/", {"Content-Type": "x"}
BODY = b'{}\n{"type":"event"}\n{}'


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


@pytest.fixture
def ours(receiver: Receiver) -> Iterator[Connections]:
    made = Connections("http", "127.0.0.1", receiver.port, timeout_s=60)
    yield made
    made.close()


def test_one_connection_serves_many_requests_of_a_thread(receiver: Receiver, ours: Connections) -> None:
    for _ in range(5):
        answer = ours.post(PATH, BODY, HEADERS)
        assert (answer.status, answer.data, answer.headers.get("CONTENT-TYPE")) == (
            200,
            b"{}",
            "application/json",
        )
    assert receiver.connections == 1
    thread = threading.Thread(target=ours.post, args=(PATH, BODY, HEADERS))
    thread.start()
    thread.join()
    assert receiver.connections == 2
    assert len(receiver.events) == 6


def test_the_beginning_of_an_answer_is_heard_over_a_connection_of_its_own(
    receiver: Receiver, ours: Connections
) -> None:
    ours.post(PATH, BODY, HEADERS)
    heard = ours.hear(PATH, BODY, HEADERS)
    assert (heard.status, heard.headers["content-type"]) == (200, "application/json")
    assert receiver.connections == 2
    assert ours._open == {ours._local.connection}  # the one for sending is kept


def test_an_answer_that_is_too_long_or_breaks_off_costs_the_connection_only(
    receiver: Receiver, ours: Connections
) -> None:
    receiver.behaviour = "reset"
    assert ours.post(PATH, BODY, HEADERS).status == 200
    receiver.behaviour = "ok"
    assert ours.post(PATH, BODY, HEADERS).status == 200
    assert receiver.connections == 2


def test_a_certificate_that_nobody_vouches_for_is_refused(receiver: Receiver) -> None:
    with pytest.raises(OSError, match=r"(?i)ssl|wrong version|eof"):
        Connections("https", "127.0.0.1", receiver.port, timeout_s=60, context=tls_context({})).post(
            PATH, BODY, HEADERS
        )


def test_tls_checks_names_and_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    context = tls_context({})
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    monkeypatch.setenv("SSL_CERT_FILE", "/nowhere.pem")
    with pytest.raises(
        ConfigurationError, match=r"SSL_CERT_FILE names the certificates in /nowhere.pem, .*No such file"
    ):
        tls_context({})


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_opens_its_own(receiver: Receiver, ours: Connections) -> None:
    ours.post(PATH, BODY, HEADERS)
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        os._exit(0 if ours.post(PATH, BODY, HEADERS).status == 200 else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    ours.post(PATH, BODY, HEADERS)
    assert receiver.connections == 2
    assert len(receiver.events) == 3
