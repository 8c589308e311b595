"""Sentry is contacted: each response, timeout and delay has its result."""

from __future__ import annotations

import errno
import http.client
import socket
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
import requests
import urllib3.exceptions

from alerts.receivers import HttpReceiver, Reply
from doctor.kit import (
    OK,
    PUBLIC_KEY,
    by_name,
    dawdling,
    dsn_at,
    dsn_of,
    policy_with,
    saying,
    silent,
)
from mita_otel.doctor import sentry
from mita_otel.doctor.network_errors import Peer, why_unreachable
from mita_otel.doctor.sentry import clock_check, sentry_checks
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.ingest_client import Response, Trust

StartWire = Callable[..., int]

PEER = Peer("sentry.example:443", "SENTRY_DSN", Trust("/authorities.pem", ""))
JSON = {"Content-Type": "application/json"}


def asked(dsn: str, **doctor: float) -> dict[str, Check]:
    return by_name(sentry_checks(policy_with(**doctor), {"SENTRY_DSN": dsn}))


# --- answers -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("reply", "status", "said"),
    [
        (Reply(200, "{}", JSON), Status.PASS, " answered after "),
        (Reply(400), Status.FAIL, " answered 400: unknown key or project in SENTRY_DSN; copy the DSN from"),
        (Reply(401), Status.FAIL, " answered 401: unknown key or project in SENTRY_DSN; copy the DSN from"),
        (Reply(403), Status.FAIL, " answered 403: unknown key or project in SENTRY_DSN; copy the DSN from"),
        (Reply(404), Status.FAIL, " answered 404: unknown key or project in SENTRY_DSN; copy the DSN from"),
        (Reply(405), Status.FAIL, " answered 405, unlike Sentry; check the host in SENTRY_DSN"),
        (Reply(429), Status.WARN, " answered 429: events are dropped because the quota is used up or the project is rate limited"),
        (Reply(302, "", {"Location": "https://x.example/"}), Status.FAIL, " answered 302, a redirect, which is not followed"),
        (Reply(500), Status.FAIL, " answered 500: Sentry or a proxy has a problem"),
        (Reply(503), Status.FAIL, " answered 503: Sentry or a proxy has a problem"),
        (Reply(200, "<html>", {"Content-Type": "text/html; charset=utf-8"}), Status.FAIL, " answered 200 with a web page"),
    ],
)  # fmt: skip
def test_each_response_status_is_explained(
    http: HttpReceiver, reply: Reply, status: Status, said: str
) -> None:
    http.usual = reply
    found = asked(dsn_of(http))["sentry"]
    assert (found.status, found.observed["status"]) == (status, reply.status)
    assert found.said.startswith(http.url.removeprefix("http://") + said)
    assert len(http.posted) == 1


def test_the_request_is_an_empty_envelope_with_the_key(http: HttpReceiver) -> None:
    asked(dsn_of(http))
    [posted] = http.posted
    assert (posted.path, posted.body) == ("/api/1/envelope/", b"{}\n")
    assert f"sentry_key={PUBLIC_KEY}" in posted.headers["X-Sentry-Auth"]


@pytest.mark.parametrize(
    "dsn",
    ["https://key@sentry.io/name", "https://sentry.io/1", PUBLIC_KEY, "https://key@/1", "ftp://key@h/1"],
)
def test_an_invalid_dsn_fails_online_and_offline(dsn: str) -> None:
    found = asked(dsn)
    assert list(found) == ["sentry"]
    assert found["sentry"].status is Status.FAIL
    assert found["sentry"].said.startswith("SENTRY_DSN is not a valid DSN (")
    assert "Copy it from Sentry's project settings, Client Keys" in found["sentry"].said
    assert PUBLIC_KEY not in found["sentry"].said
    offline = by_name(sentry_checks(policy_with(), {"SENTRY_DSN": dsn}, network=False))
    assert offline == found


def test_an_offline_check_contacts_no_host(http: HttpReceiver) -> None:
    found = by_name(sentry_checks(policy_with(), {"SENTRY_DSN": dsn_of(http)}, network=False))
    assert found["sentry"] == Check(
        "sentry", Status.PASS, f"{http.url.removeprefix('http://')} not contacted"
    )
    assert http.posted == []


@pytest.mark.parametrize(
    ("env", "name", "status", "said"),
    [
        ({}, "sentry", Status.WARN, "SENTRY_DSN is not set, so traces go to console instead of Sentry"),
        (
            {"SENTRY_SPOTLIGHT": "true"},
            "sentry",
            Status.PASS,
            "SENTRY_DSN is not set: traces go to Spotlight only",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp"},
            "sentry:exporter",
            Status.PASS,
            "Sentry is not selected; traces go to otlp",
        ),
        (
            {"OTEL_TRACES_EXPORTER": "otlp", "SENTRY_DSN": "https://key@127.0.0.1:1/1"},
            "sentry:exporter",
            Status.WARN,
            "SENTRY_DSN is set, but traces go to otlp: add sentry to OTEL_TRACES_EXPORTER, or unset the DSN",
        ),
    ],
)
def test_a_missing_or_unused_dsn_is_reported(
    env: dict[str, str], name: str, status: Status, said: str
) -> None:
    found = by_name(sentry_checks(policy_with(), env, network=False))[name]
    assert found.status is status
    assert found.said.startswith(said)


# --- duration ----------------------------------------------------------------------------------------
def test_a_late_response_is_a_warning(http: HttpReceiver, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([100.0, 101.4])
    monkeypatch.setattr(sentry.time, "monotonic", lambda: next(ticks, 101.4))
    checks = by_name(sentry_checks(policy_with(slow_s=1.0), {"SENTRY_DSN": dsn_of(http)}))
    assert checks["sentry"].status is Status.WARN
    assert " took 1.4 seconds to the first byte, more than doctor.slow_s; use a " in checks["sentry"].said
    assert checks["sentry"].observed["milliseconds_to_first_byte"] == 1400


def test_the_measured_time_ends_with_the_first_byte(wire: StartWire) -> None:
    """The body never arrives: a check that waited for it would time out."""
    found = asked(dsn_at(wire(dawdling)), timeout_s=20)["sentry"]
    assert found.status is not Status.FAIL
    assert found.observed["milliseconds_to_first_byte"] < 20_000


# --- no response --------------------------------------------------------------------------------------------
def test_a_host_that_does_not_answer_fails(wire: StartWire) -> None:
    found = asked(dsn_at(port := wire(silent)), timeout_s=0.3)["sentry"]
    said = (
        f"127.0.0.1:{port} does not answer in time; check firewalls, and set HTTPS_PROXY if there is a proxy"
    )
    assert found == Check("sentry", Status.FAIL, said)


def test_a_port_without_http_fails(wire: StartWire) -> None:
    found = asked(dsn_at(port := wire(saying(b"SSH-2.0-OpenSSH_9.6\r\n"))))["sentry"]
    said = f"127.0.0.1:{port} does not speak HTTP; check the port in SENTRY_DSN"
    assert found == Check("sentry", Status.FAIL, said)


def test_a_closed_connection_fails(wire: StartWire) -> None:
    found = asked(dsn_at(port := wire(saying(b""))))["sentry"]
    assert found.status is Status.FAIL
    assert found.said.startswith(
        f"127.0.0.1:{port} closes the connection without an answer; check https in SENTRY_DSN, firewalls"
    )


def test_an_unreachable_proxy_is_named_without_its_password(
    monkeypatch: pytest.MonkeyPatch, wire: StartWire
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://user:hunter2hunter2@127.0.0.1:1")
    found = asked("http://key@sentry.example/1")["sentry"]
    said = "the proxy on the way to sentry.example:80 cannot be used (Connection refused); check HTTPS_PROXY, HTTP_PROXY and NO_PROXY"
    assert found == Check("sentry", Status.FAIL, said)
    port = wire(OK)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
    assert asked("http://key@sentry.example/1")["sentry"].status is Status.PASS


def wrapped(inner: Exception) -> list[Exception]:
    """Return the exception as http.client, urllib3 and requests wrap it."""
    by_urllib3 = urllib3.exceptions.ProtocolError("Connection aborted.", inner)
    with_reason = urllib3.exceptions.MaxRetryError(None, "/api/1/envelope/", inner)  # type: ignore[arg-type]
    return [inner, by_urllib3, with_reason, requests.exceptions.ConnectionError(with_reason)]


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
         "unknown host sentry.example (Name or service not known); check SENTRY_DSN and the name server"),
        (ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
         "sentry.example:443 refuses connections; check the port in SENTRY_DSN, and that the server is running"),
        (http.client.RemoteDisconnected("Remote end closed connection"), "sentry.example:443 closes the connection without an answer"),
        (ConnectionResetError(errno.ECONNRESET, "reset"), "sentry.example:443 closes the connection without an answer"),
        (http.client.BadStatusLine("220 smtp"), "sentry.example:443 does not speak HTTP"),
        (TimeoutError("timed out"), "sentry.example:443 does not answer in time; check firewalls"),
        (OSError(errno.ENETUNREACH, "Network is unreachable"),
         "no route to sentry.example:443 (Network is unreachable); check this machine's network and routes"),
        (OSError(errno.EACCES, "Permission denied"),
         "sentry.example:443 cannot be reached (Permission denied); check SENTRY_DSN and the network"),
        (ValueError("no scheme"), "SENTRY_DSN is not a valid address; use the form https://host:port"),
    ],
)  # fmt: skip
def test_each_connection_error_is_explained(error: Exception, said: str) -> None:
    for one in wrapped(error):
        assert why_unreachable(one, PEER).startswith(said), repr(one)


def test_a_refused_connection_is_not_reported_as_a_timeout() -> None:
    refused = urllib3.exceptions.NewConnectionError(None, "refused")  # type: ignore[arg-type]
    refused.__cause__ = ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")
    assert isinstance(refused, urllib3.exceptions.TimeoutError)
    assert why_unreachable(refused, PEER).startswith("sentry.example:443")


def test_an_address_is_shown_without_its_secrets() -> None:
    url = f"https://{PUBLIC_KEY}@o1.ingest.sentry.io/services/SECRET?token=SECRET"
    assert Peer.of(url, "SENTRY_DSN", PEER.trust).address == "o1.ingest.sentry.io:443"
    assert Peer.of("http://[::1]/x", "SENTRY_DSN", PEER.trust).address == "[::1]:80"


# --- the clock ---------------------------------------------------------------------------------------
NOW = datetime(2026, 11, 25, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("seconds", "status", "said"),
    [
        (0, Status.PASS, "within 60 seconds of the server's"),
        (60, Status.PASS, "within 60 seconds of the server's"),
        (-60, Status.PASS, "within 60 seconds of the server's"),
        (61, Status.FAIL, "this machine's clock is 61 seconds ahead of the server's; start time"),
        (-3600, Status.FAIL, "this machine's clock is 3600 seconds behind the server's; start time"),
    ],
)  # fmt: skip
def test_a_clock_that_differs_too_much_fails(seconds: int, status: Status, said: str) -> None:
    heard = Response(200, {"date": format_datetime(NOW, usegmt=True)})
    [found] = clock_check(heard, NOW.timestamp() + seconds, policy_with(max_skew_s=60).doctor)
    assert (found.name, found.status, found.observed) == ("clock", status, {"seconds_ahead": seconds})
    assert found.said.startswith(said)


@pytest.mark.parametrize("headers", [{}, {"date": ""}, {"date": "soon"}])
def test_without_a_date_header_the_clock_is_not_checked(headers: dict[str, str]) -> None:
    assert list(clock_check(Response(200, headers), 0.0, policy_with().doctor)) == []


def test_the_clock_is_compared_with_sentrys_date_header(http: HttpReceiver) -> None:
    def at(seconds_off: float) -> Check:
        clock = lambda: datetime.now(UTC).timestamp() + seconds_off  # noqa: E731
        return by_name(sentry_checks(policy_with(), {"SENTRY_DSN": dsn_of(http)}, clock=clock))["clock"]

    assert at(0).status is Status.PASS
    assert at(-3600).status is Status.FAIL
    assert " seconds behind " in at(-3600).said
    http.usual = Reply(403)  # a refusal has a Date header too
    assert at(3600).status is Status.FAIL
