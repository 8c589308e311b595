"""With a fault on the network, `doctor` reports the fault with a fix."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from alerts.receivers import HttpReceiver, Reply
from doctor.kit import (
    OK,
    Authority,
    Examined,
    dsn_at,
    dsn_of,
    failing,
    saying,
    silent,
    warning,
    where,
)

StartWire = Callable[..., int]


def test_an_invalid_dsn_fails(examined: Examined) -> None:
    found = failing(examined(SENTRY_DSN="https://key@sentry.io/name"))
    assert list(found) == ["sentry"]
    assert found["sentry"].startswith("SENTRY_DSN is not a valid DSN (")
    assert "Copy it from Sentry's project settings, Client Keys" in found["sentry"]


@pytest.mark.parametrize("status", [401, 403])
def test_an_unknown_key_fails(examined: Examined, http: HttpReceiver, status: int) -> None:
    http.usual = Reply(status, '{"detail": "event submission rejected with_reason: ProjectId"}')
    assert failing(examined(SENTRY_DSN=dsn_of(http))) == {
        "sentry": f"{where(http)} answered {status}: unknown key or project in SENTRY_DSN; copy the DSN "
        "from the project's settings in Sentry, Client Keys, and check there that the key is enabled"
    }


def test_a_refused_connection_fails(examined: Examined, http: HttpReceiver) -> None:
    http.close()
    said = f"{where(http)} refuses connections; check the port in SENTRY_DSN, and that the server is running"
    assert failing(examined(SENTRY_DSN=dsn_of(http))) == {"sentry": said}


def test_an_unknown_host_fails(examined: Examined) -> None:
    """The name is reserved (RFC 6761): it cannot be resolved, with or without a name server."""
    found = failing(examined(SENTRY_DSN="https://key@nowhere.invalid/1"))
    assert list(found) == ["sentry"]
    assert found["sentry"].startswith("unknown host nowhere.invalid (")
    assert found["sentry"].endswith("); check SENTRY_DSN and the name server")


def test_a_host_that_does_not_answer_fails(examined: Examined, wire: StartWire) -> None:
    port = wire(silent)
    found = failing(examined(SENTRY_DSN=dsn_at(port), MITA_OTEL_DOCTOR__TIMEOUT_S="1"))
    assert found["sentry"].startswith(f"127.0.0.1:{port} does not answer in time; check firewalls")


def test_a_slow_host_is_a_warning(examined: Examined, http: HttpReceiver) -> None:
    found = warning(examined(SENTRY_DSN=dsn_of(http), MITA_OTEL_DOCTOR__SLOW_S="0.000001"))
    assert found["sentry"].startswith(f"{where(http)} took 0.")
    assert "seconds to the first byte, more than doctor.slow_s; use a nearer region" in found["sentry"]


def test_a_port_without_http_fails(examined: Examined, wire: StartWire) -> None:
    port = wire(saying(b"SSH-2.0-OpenSSH_9.6\r\n"))
    said = f"127.0.0.1:{port} does not speak HTTP; check the port in SENTRY_DSN"
    assert failing(examined(SENTRY_DSN=dsn_at(port))) == {"sentry": said}


def test_a_self_signed_certificate_fails(examined: Examined, wire: StartWire, authority: Authority) -> None:
    port = wire(OK, authority.own.server())
    found = failing(examined(SENTRY_DSN=dsn_at(port, scheme="https")))
    assert list(found) == ["sentry"]
    assert found["sentry"].startswith(f"the certificate of 127.0.0.1:{port} is not trusted (self")
    assert found["sentry"].endswith("set SSL_CERT_FILE to the copy")


def test_a_wrong_clock_fails(examined: Examined, wire: StartWire) -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True).encode()
    port = wire(saying(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nDate: " + date + b"\r\n\r\n"))
    found = failing(examined(SENTRY_DSN=dsn_at(port)))
    assert list(found) == ["clock"]
    assert " seconds behind the server's; start time synchronisation" in found["clock"]


def test_an_unreachable_otlp_endpoint_fails(examined: Examined, http: HttpReceiver) -> None:
    http.close()
    said = (
        f"{where(http)} refuses connections; check the port in OTEL_EXPORTER_OTLP_ENDPOINT, and that the server "
        "is running"
    )
    env = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": http.url}
    assert failing(examined(**env)) == {"exporter:otlp": said}
