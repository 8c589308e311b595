"""OTLP over gRPC: the endpoint is contacted, and each status is reported with a fix."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import grpc
import pytest

from alerts.receivers import HttpReceiver
from doctor.kit import Authority, policy_with
from e2e.grpc_receiver import GrpcReceiver
from mita_otel._otel_compat.otlp import GrpcAnswer
from mita_otel.doctor.otlp import grpc_answered, otlp_checks
from mita_otel.sdk.health.check import Check, Status

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
Look = Callable[..., Check]


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Look:
    def look(endpoint: str, **env: str) -> Check:
        for name, value in {PROTOCOL: "grpc", ENDPOINT: endpoint, **env}.items():
            monkeypatch.setenv(name, value)
        [found] = otlp_checks(policy_with(timeout_s=30).doctor, os.environ)
        return found

    return look


@pytest.fixture
def collector() -> Iterator[GrpcReceiver]:
    receiver = GrpcReceiver()
    yield receiver
    receiver.close()


def test_an_endpoint_that_accepts_traces_passes(collector: GrpcReceiver, looked: Look) -> None:
    found = looked(f"http://127.0.0.1:{collector.port}", OTEL_EXPORTER_OTLP_HEADERS="x-tenant=bank")
    said = f"127.0.0.1:{collector.port} accepts traces over gRPC"
    assert found == Check("exporter:otlp", Status.PASS, said)
    [request], [metadata] = collector.requests, collector.metadata
    assert not request.resource_spans
    assert metadata["x-tenant"] == "bank"


@pytest.mark.parametrize(
    ("code", "hint"),
    [
        ("UNAUTHENTICATED", "access denied; check OTEL_EXPORTER_OTLP_HEADERS"),
        ("PERMISSION_DENIED", "access denied; check OTEL_EXPORTER_OTLP_HEADERS"),
        ("UNIMPLEMENTED", f"it does not accept traces; check that {ENDPOINT} is an OTLP endpoint"),
        ("RESOURCE_EXHAUSTED", "it accepts no data now; see its log"),
        ("INTERNAL", f"the request failed; check {ENDPOINT} and its log"),
    ],
)
def test_an_error_status_fails_with_the_fix(
    collector: GrpcReceiver, looked: Look, code: str, hint: str
) -> None:
    collector.refuses = (grpc.StatusCode[code], "no")
    found = looked(f"http://127.0.0.1:{collector.port}")
    said = f"127.0.0.1:{collector.port} answered {code}: {hint}"
    assert found == Check("exporter:otlp", Status.FAIL, said)
    assert len(collector.requests) == 1


def test_an_unreachable_endpoint_fails(collector: GrpcReceiver, looked: Look) -> None:
    collector.close()
    assert (
        f"it refuses connections; check the port in {ENDPOINT}"
        in looked(f"http://127.0.0.1:{collector.port}").said
    )


def test_an_unknown_host_fails(looked: Look) -> None:
    assert "unknown host" in looked("http://nowhere.invalid:4317").said


def test_an_http_endpoint_fails_with_the_protocol_variable(http: HttpReceiver, looked: Look) -> None:
    found = looked(http.url)
    assert found.status is Status.FAIL
    assert f"{PROTOCOL}" in found.said


def test_a_certificate_must_be_trusted(tmp_path: Path, looked: Look) -> None:
    authority = Authority(tmp_path)
    pair = authority.certificate("collector", since="20200101000000Z", until="20990101000000Z")
    receiver = GrpcReceiver((pair.certificate.read_bytes(), pair.key.read_bytes()))
    try:
        address = f"127.0.0.1:{receiver.port}"
        said = looked(f"https://{address}").said
        assert "its certificate is not trusted; set OTEL_EXPORTER_OTLP_CERTIFICATE" in said
        assert "closes the connection; check https" in looked(f"http://{address}").said
        trusting = looked(f"https://{address}", OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.own.certificate))
        assert trusting == Check("exporter:otlp", Status.PASS, f"{address} accepts traces over gRPC")
    finally:
        receiver.close()


def test_https_to_a_server_without_tls_fails(collector: GrpcReceiver, looked: Look) -> None:
    said = looked(f"https://127.0.0.1:{collector.port}").said
    assert f"the TLS handshake failed; check https and the port in {ENDPOINT}" in said


def test_an_http_port_is_recognised() -> None:
    answer = GrpcAnswer("collector:4318", "UNAVAILABLE", "Connection refused")
    _, said = grpc_answered(answer, ENDPOINT)
    assert said.endswith("(4318 is the port of OTLP over HTTP: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)")
