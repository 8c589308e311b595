"""Certificates: doctor trusts the same authorities as the exporter, and explains each error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import certifi
import pytest
from sentry_sdk.envelope import Envelope, Item

from doctor.kit import OK, PLAIN, Authority, by_name, dsn_at, policy_with
from mita_otel.doctor.exporter_endpoints import otlp_checks
from mita_otel.doctor.sentry import sentry_checks
from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import Losses
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.transport import SentryTransport

StartWire = Callable[..., int]

LONG_AGO, JUST_NOW, SOON, LATER = "20200101000000Z", "20210101000000Z", "20991231000000Z", "21000101000000Z"
DAYS = {"since": LONG_AGO, "until": LATER}


def asked(dsn: str) -> Check:
    return by_name(sentry_checks(policy_with(), {"SENTRY_DSN": dsn}))["sentry"]


def exporter_gets_through(dsn: str) -> bool:
    """Whether the exporter's transport delivers an envelope."""
    transport = SentryTransport({"dsn": dsn}, default_policy().sentry, Losses(cool_down_s=60))
    transport.capture_envelope(Envelope(items=[Item(b"{}", type="event")]))
    transport.flush(60)
    transport.kill()
    return transport.deliveries.state.last_success_s is not None


@pytest.fixture
def trusting(authority: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.own.certificate))


def test_a_certificate_of_an_unknown_authority_fails(authority: Authority, wire: StartWire) -> None:
    dsn = dsn_at(port := wire(OK, authority.certificate("plain", **DAYS).server()), scheme="https")
    found = asked(dsn)
    assert found.status is Status.FAIL
    assert found.said == (
        f"the certificate of 127.0.0.1:{port} is not trusted (unable to get local issuer certificate): its authority is not in "
        f"{certifi.where()}. To trust it, append the authority's certificate to a copy of that file, and "
        "set SSL_CERT_FILE to the copy"
    )
    assert not exporter_gets_through(dsn)


def test_a_self_signed_certificate_fails(authority: Authority, wire: StartWire) -> None:
    found = asked(dsn_at(wire(OK, authority.own.server()), scheme="https"))
    assert found.status is Status.FAIL
    assert "is not trusted (self-signed certificate)" in found.said.replace("self signed", "self-signed")
    assert found.said.endswith("set SSL_CERT_FILE to the copy")


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"])
def test_the_certificate_file_of_the_exporter_applies(
    authority: Authority, wire: StartWire, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    dsn = dsn_at(wire(OK, authority.certificate(f"by-{variable}", **DAYS).server()), scheme="https")
    monkeypatch.setenv(variable, str(authority.own.certificate))
    assert asked(dsn).status is Status.PASS
    assert exporter_gets_through(dsn)


def test_a_certificate_folder_that_the_exporter_ignores_is_ignored(
    authority: Authority, wire: StartWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only Python reads SSL_CERT_DIR: a check that used it would pass, and nothing would arrive."""
    dsn = dsn_at(wire(OK, authority.certificate("dir", **DAYS).server()), scheme="https")
    monkeypatch.setenv("SSL_CERT_DIR", str(authority.own.certificate.parent))
    assert asked(dsn).status is Status.FAIL
    assert not exporter_gets_through(dsn)


def test_a_certificate_file_without_the_authority_is_named(
    authority: Authority, wire: StartWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", certifi.where())
    found = asked(dsn_at(wire(OK, authority.certificate("unnamed", **DAYS).server()), scheme="https"))
    assert f"its authority is not in {certifi.where()} (from REQUESTS_CA_BUNDLE)." in found.said
    assert found.said.endswith("set REQUESTS_CA_BUNDLE to the copy")


@pytest.mark.usefixtures("trusting")
def test_an_expired_certificate_fails(authority: Authority, wire: StartWire) -> None:
    pair = authority.certificate("expired", since=LONG_AGO, until=JUST_NOW)
    dsn = dsn_at(port := wire(OK, pair.server()), scheme="https")
    said = f"the certificate of 127.0.0.1:{port} has expired; renew it there, or check whether this machine's clock is ahead"
    assert asked(dsn) == Check("sentry", Status.FAIL, said)


@pytest.mark.usefixtures("trusting")
def test_a_certificate_that_is_not_valid_yet_fails(authority: Authority, wire: StartWire) -> None:
    pair = authority.certificate("early", since=SOON, until=LATER)
    found = asked(dsn_at(wire(OK, pair.server()), scheme="https"))
    assert "is not valid yet; if this machine's clock is behind, start time synchronisation" in found.said


@pytest.mark.usefixtures("trusting")
@pytest.mark.parametrize(
    ("host", "subject", "said"),
    [
        ("localhost", "IP:127.0.0.1", "Hostname mismatch, certificate is not valid for 'localhost'"),
        (
            "127.0.0.1",
            "DNS:sentry.bank.example",
            "IP address mismatch, certificate is not valid for '127.0.0.1'",
        ),
    ],
)
def test_a_certificate_for_another_name_fails(
    authority: Authority, wire: StartWire, host: str, subject: str, said: str
) -> None:
    pair = authority.certificate(f"not-{host}", subject=subject, **DAYS)
    dsn = dsn_at(port := wire(OK, pair.server()), scheme="https", host=host)
    assert asked(dsn) == Check(
        "sentry",
        Status.FAIL,
        f"the certificate of {host}:{port} is for another name ({said}); use the certificate's host name in SENTRY_DSN",
    )


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_an_unreadable_certificate_file_fails(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: str | None
) -> None:
    file = tmp_path / "authorities.pem"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    found = asked("https://0123456789abcdef@127.0.0.1:1/1")
    assert found.status is Status.FAIL
    assert found.said.startswith(f"SSL_CERT_FILE names the certificates in {file}, which cannot be read (")
    assert found.said.endswith("set it to a file of certificates in PEM format, or unset it")


def test_a_port_without_tls_fails(wire: StartWire) -> None:
    dsn = dsn_at(port := wire(PLAIN), scheme="https")
    found = asked(dsn)
    assert found.said.startswith(f"127.0.0.1:{port} failed the TLS handshake (")
    assert found.said.endswith("); check https and the port in SENTRY_DSN")


def test_http_to_a_tls_port_fails(authority: Authority, wire: StartWire) -> None:
    dsn = dsn_at(port := wire(OK, authority.own.server()))
    found = asked(dsn)
    assert found.status is Status.FAIL
    assert found.said.startswith(f"127.0.0.1:{port} closes the connection without an answer; check https")


def test_the_otlp_exporter_has_a_separate_certificate_file(
    authority: Authority, wire: StartWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    port = wire(OK, authority.certificate("otlp", **DAYS).server())
    variable = "OTEL_EXPORTER_OTLP_CERTIFICATE"

    def looked() -> Check:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"https://127.0.0.1:{port}"}
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        import os

        return by_name(otlp_checks(policy_with().doctor, os.environ))["exporter:otlp"]

    found = looked()
    assert found.status is Status.FAIL
    assert f"its authority is not in {certifi.where()}." in found.said
    assert found.said.endswith(f"set {variable} to the copy")
    monkeypatch.setenv(
        "SSL_CERT_FILE", str(authority.own.certificate)
    )  # Sentry's exporter reads it, OTLP's does not
    assert looked().status is Status.FAIL
    monkeypatch.setenv(variable, str(authority.own.certificate))
    assert looked() == Check(
        "exporter:otlp", Status.PASS, f"127.0.0.1:{port} accepts traces", {"status": 200}
    )
    monkeypatch.setenv(variable, "/nowhere.pem")
    assert (
        looked().said
        == f"{variable} names the certificates in /nowhere.pem: no such file; correct or unset it"
    )
