"""Endpoints of exporters: OTLP over HTTP and gRPC, and the port of the Prometheus exporter."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import grpc
import pytest

from alerts.receivers import HttpReceiver, Reply
from doctor.kit import Authority, by_name, policy_with
from e2e.grpc_receiver import GrpcReceiver
from mita_otel._otel_compat.otlp import GrpcAnswer
from mita_otel.doctor.exporter_endpoints import grpc_answered, otlp_checks, prometheus_checks
from mita_otel.sdk.health.check import Check, Status

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


@pytest.fixture
def looked(monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    import os

    def look(*, network: bool = True, **env: str) -> dict[str, Check]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        return by_name(otlp_checks(policy_with().doctor, os.environ, network=network))

    return look  # type: ignore[return-value]


def test_an_endpoint_that_accepts_traces_passes(http: HttpReceiver, looked) -> None:
    secret = "Bearer hunter2hunter2"
    found = looked(**{ENDPOINT: http.url, "OTEL_EXPORTER_OTLP_HEADERS": f"authorization={secret}"})
    assert found["exporter:otlp"].status is Status.PASS
    assert found["exporter:otlp"].said == f"{http.url.removeprefix('http://')} accepts traces"
    assert found["clock"].status is Status.PASS
    [posted] = http.posted
    assert (posted.path, posted.body) == ("/v1/traces", b"")
    headers = {name.lower(): value for name, value in posted.headers.items()}
    assert (headers["authorization"], headers["content-type"]) == (secret, "application/x-protobuf")


@pytest.mark.parametrize(
    ("status", "path", "said"),
    [
        (401, "", " answered 401: access denied; check OTEL_EXPORTER_OTLP_HEADERS"),
        (403, "", " answered 403: access denied; check OTEL_EXPORTER_OTLP_HEADERS"),
        (404, "", f" answered 404: no OTLP at /v1/traces; check host, port and path in {ENDPOINT}"),
        (404, "/v1/traces", f" answered 404: /v1/traces is appended to {ENDPOINT}; remove it there"),
        (405, "", f" answered 405: check that {ENDPOINT} is an OTLP endpoint"),
        (302, "", f" answered 302: check that {ENDPOINT} is an OTLP endpoint"),
        (503, "", " answered 503: it accepts no data now; see its log"),
    ],
)
def test_an_error_response_fails_after_one_request(
    http: HttpReceiver, looked, status: int, path: str, said: str
) -> None:
    http.usual = Reply(status)
    found = looked(**{ENDPOINT: http.url + path})["exporter:otlp"]
    assert (found.status, found.said) == (Status.FAIL, http.url.removeprefix("http://") + said)
    assert len(http.posted) == 1  # it is not tried again and again, as the exporter would


def test_the_traces_endpoint_variable_is_named_if_it_applies(http: HttpReceiver, looked) -> None:
    http.usual = Reply(404)
    own = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
    found = looked(**{ENDPOINT: "http://127.0.0.1:1", own: f"{http.url}/elsewhere"})["exporter:otlp"]
    assert found.said.endswith(f"check host, port and path in {own}")
    assert http.posted[0].path == "/elsewhere"


def test_an_unreachable_endpoint_fails(http: HttpReceiver, looked) -> None:
    http.close()
    found = looked(**{ENDPOINT: http.url})["exporter:otlp"]
    said = f"{http.url.removeprefix('http://')} refuses connections; check the port in {ENDPOINT}, and that the server is running"
    assert found == Check("exporter:otlp", Status.FAIL, said)


def test_a_grpc_port_is_recognised() -> None:
    from mita_otel._otel_compat.otlp import OtlpAnswer
    from mita_otel.doctor import exporter_endpoints as otlp
    from mita_otel.doctor.network_errors import Peer
    from mita_otel.sentry.transport.ingest_client import Trust

    def said(url: str) -> str:
        answer = OtlpAnswer(url, None, {}, ConnectionResetError())
        return otlp._answered(answer, Peer.of(url, ENDPOINT, Trust("/x", ""))).said

    assert said("http://collector:4317/v1/traces").endswith(
        "(4317 is the port of OTLP over gRPC; over HTTP it is 4318)"
    )
    assert "4317" not in said("http://collector:4318/v1/traces")


@pytest.mark.parametrize("endpoint", ["localhost:4318", "collector", "ftp://collector"])
def test_an_invalid_endpoint_fails(looked, endpoint: str) -> None:
    found = looked(**{ENDPOINT: endpoint})["exporter:otlp"]
    said = f"{ENDPOINT} is not a valid address; use the form https://host:port"
    assert found == Check("exporter:otlp", Status.FAIL, said)


def test_an_uninstalled_protocol_fails_with_the_extra_to_install(
    looked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mita_otel.exporters.registry.entry_points", lambda **_: [])
    said = "the otlp exporter is not installed; install mita-otel[otlp-grpc]"
    found = looked(OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert found == {"exporter:otlp": Check("exporter:otlp", Status.FAIL, said)}


def test_an_offline_check_contacts_no_endpoint(http: HttpReceiver, looked) -> None:
    found = looked(network=False, **{ENDPOINT: http.url})
    assert found == {"exporter:otlp": Check("exporter:otlp", Status.PASS, "endpoint not contacted")}
    assert http.posted == []


PROTOCOL = "OTEL_EXPORTER_OTLP_PROTOCOL"
Look = Callable[..., Check]


@pytest.fixture
def looked_over_grpc(monkeypatch: pytest.MonkeyPatch) -> Look:
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


def test_an_endpoint_that_accepts_traces_passes_over_grpc(
    collector: GrpcReceiver, looked_over_grpc: Look
) -> None:
    found = looked_over_grpc(f"http://127.0.0.1:{collector.port}", OTEL_EXPORTER_OTLP_HEADERS="x-tenant=bank")
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
    collector: GrpcReceiver, looked_over_grpc: Look, code: str, hint: str
) -> None:
    collector.refuses = (grpc.StatusCode[code], "no")
    found = looked_over_grpc(f"http://127.0.0.1:{collector.port}")
    said = f"127.0.0.1:{collector.port} answered {code}: {hint}"
    assert found == Check("exporter:otlp", Status.FAIL, said)
    assert len(collector.requests) == 1


def test_an_unreachable_endpoint_fails_over_grpc(collector: GrpcReceiver, looked_over_grpc: Look) -> None:
    collector.close()
    assert (
        f"it refuses connections; check the port in {ENDPOINT}"
        in looked_over_grpc(f"http://127.0.0.1:{collector.port}").said
    )


def test_an_unknown_host_fails(looked_over_grpc: Look) -> None:
    assert "unknown host" in looked_over_grpc("http://nowhere.invalid:4317").said


def test_an_http_endpoint_fails_with_the_protocol_variable(
    http: HttpReceiver, looked_over_grpc: Look
) -> None:
    found = looked_over_grpc(http.url)
    assert found.status is Status.FAIL
    assert f"{PROTOCOL}" in found.said


def test_a_certificate_must_be_trusted(tmp_path: Path, looked_over_grpc: Look) -> None:
    authority = Authority(tmp_path)
    pair = authority.certificate("collector", since="20200101000000Z", until="20990101000000Z")
    receiver = GrpcReceiver((pair.certificate.read_bytes(), pair.key.read_bytes()))
    try:
        address = f"127.0.0.1:{receiver.port}"
        said = looked_over_grpc(f"https://{address}").said
        assert "its certificate is not trusted; set OTEL_EXPORTER_OTLP_CERTIFICATE" in said
        assert "closes the connection; check https" in looked_over_grpc(f"http://{address}").said
        trusting = looked_over_grpc(
            f"https://{address}", OTEL_EXPORTER_OTLP_CERTIFICATE=str(authority.own.certificate)
        )
        assert trusting == Check("exporter:otlp", Status.PASS, f"{address} accepts traces over gRPC")
    finally:
        receiver.close()


def test_https_to_a_server_without_tls_fails(collector: GrpcReceiver, looked_over_grpc: Look) -> None:
    said = looked_over_grpc(f"https://127.0.0.1:{collector.port}").said
    assert f"the TLS handshake failed; check https and the port in {ENDPOINT}" in said


def test_an_http_port_is_recognised() -> None:
    answer = GrpcAnswer("collector:4318", "UNAVAILABLE", "Connection refused")
    _, said = grpc_answered(answer, ENDPOINT)
    assert said.endswith("(4318 is the port of OTLP over HTTP: OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf)")


DOCTOR = policy_with().doctor


def checked(port: int, exporters: str = "otlp,prometheus", host: str = "127.0.0.1") -> list[Check]:
    env = {
        "OTEL_METRICS_EXPORTER": exporters, "OTEL_EXPORTER_PROMETHEUS_PORT": str(port), "OTEL_EXPORTER_PROMETHEUS_HOST": host,
    }  # fmt: skip
    return list(prometheus_checks(DOCTOR, env))


def test_a_port_in_use_fails_and_a_free_one_passes() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        [check] = checked(port)
        assert check.status is Status.FAIL
        assert check.said == (
            f"127.0.0.1:{port} is in use by another program: set OTEL_EXPORTER_PROMETHEUS_PORT to a free port"
        )
        assert checked(port, exporters="otlp") == []
    [check] = checked(port)
    assert check == Check("exporter:prometheus", Status.PASS, f"127.0.0.1:{port} is free")


class Metrics(BaseHTTPRequestHandler):
    """Answers as a Prometheus exporter does."""

    def do_GET(self) -> None:
        body = b"# TYPE target_info gauge\n"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None: ...


def test_a_port_that_answers_with_metrics_is_a_warning() -> None:
    with HTTPServer(("127.0.0.1", 0), Metrics) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        [check] = checked(server.server_port)
        thread.join(30)
    assert check.status is Status.WARN
    assert "answers with metrics already" in check.said


def test_an_address_of_another_machine_fails() -> None:
    [check] = checked(0, host="203.0.113.1")
    assert check.status is Status.FAIL
    assert "cannot listen on 203.0.113.1:0" in check.said
