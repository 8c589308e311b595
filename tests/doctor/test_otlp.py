"""The check of the OTLP endpoint uses the exporter's own request."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from alerts.receivers import HttpReceiver, Reply
from doctor.kit import by_name, policy_with
from mita_otel.doctor.otlp import otlp_checks
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
    from mita_otel.doctor import otlp
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
    monkeypatch.setattr("mita_otel.exporters.otlp.entry_points", lambda **_: [])
    said = "the otlp exporter is not installed; install mita-otel[otlp-grpc]"
    found = looked(OTEL_EXPORTER_OTLP_PROTOCOL="grpc")
    assert found == {"exporter:otlp": Check("exporter:otlp", Status.FAIL, said)}


def test_an_offline_check_contacts_no_endpoint(http: HttpReceiver, looked) -> None:
    found = looked(network=False, **{ENDPOINT: http.url})
    assert found == {"exporter:otlp": Check("exporter:otlp", Status.PASS, "endpoint not contacted")}
    assert http.posted == []
