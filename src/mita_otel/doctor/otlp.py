"""Checks of OTLP: the endpoint answers an empty request, over HTTP or gRPC, sent like the exporter's."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel._otel_compat.otlp import GrpcAnswer, OtlpAnswer, ask_otlp
from mita_otel.doctor.network_errors import Peer, why_unreachable
from mita_otel.doctor.sentry import clock_check
from mita_otel.exporters.otlp import make_otlp_exporter
from mita_otel.exporters.registry import ExporterUnavailableError
from mita_otel.policy.health import DoctorPolicy
from mita_otel.processors.queues.otlp_responses import grpc_fix, http_fix
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.ingest_client import Response, Trust

_NAME: Final = "exporter:otlp"
_ENDPOINTS: Final = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_CERTIFICATES: Final = (
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
)
_PATH: Final = "/v1/traces"
_GRPC_PORT: Final = 4317
_HTTP_PORT: Final = ":4318"
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"


def otlp_checks(
    policy: DoctorPolicy,
    env: Mapping[str, str],
    *,
    network: bool = True,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Check that the OTLP exporter is available and its endpoint answers.

    Args:
        policy: Time limits.
        env: The environment variables.
        network: Whether to contact the endpoint.
        clock: Seconds since the epoch.
    """
    trust = _trust(env)
    if not Path(trust.file).exists():
        message = (
            f"{trust.named_by} names the certificates in {trust.file}: no such file; correct or unset it"
        )
        yield Check(_NAME, Status.FAIL, message)
        return
    try:
        exporter = make_otlp_exporter(env)
    except (ExporterUnavailableError, ValueError) as error:
        yield Check(_NAME, Status.FAIL, str(error))
        return
    try:
        with suppress_instrumentation():
            answer = ask_otlp(exporter, policy.timeout_s) if network else None
    finally:
        exporter.shutdown()
    if answer is None:
        yield Check(_NAME, Status.PASS, "endpoint not contacted")
        return
    named_by = next((one for one in _ENDPOINTS if env.get(one)), _ENDPOINTS[-1])
    if isinstance(answer, GrpcAnswer):
        yield Check(_NAME, *grpc_answered(answer, named_by))
        return
    peer = Peer.of(answer.endpoint, named_by, trust, _CERTIFICATES[1])
    yield _answered(answer, peer)
    if answer.status is not None:
        yield from clock_check(Response(answer.status, answer.headers), clock(), policy)


def _answered(answer: OtlpAnswer, peer: Peer) -> Check:
    if answer.error is not None or answer.status is None:
        why = why_unreachable(answer.error or TimeoutError(), peer)
        if peer.address.endswith(f":{_GRPC_PORT}"):
            why += f" ({_GRPC_PORT} is the port of OTLP over gRPC; over HTTP it is 4318)"
        return Check(_NAME, Status.FAIL, why)
    observed = {"status": answer.status}
    if 200 <= answer.status < 300:
        return Check(_NAME, Status.PASS, f"{peer.address} accepts traces", observed)
    where = f"{peer.address} answered {answer.status}"
    fix = http_fix(answer.status, peer.named_by, _PATH)
    if answer.status not in (401, 403) and urlsplit(answer.endpoint).path.count(_PATH) > 1:
        fix = f"{_PATH} is appended to {peer.named_by}; remove it there"
    return Check(_NAME, Status.FAIL, f"{where}: {fix}", observed)


def _trust(env: Mapping[str, str]) -> Trust:
    """Return the certificates that the exporter trusts: those of its variables, else those of requests."""
    found = next((one for one in _CERTIFICATES if env.get(one)), "")
    return Trust(env[found], found) if found else Trust(certifi.where(), "")


# --- gRPC --------------------------------------------------------------------------------------------
def grpc_answered(answer: GrpcAnswer, named_by: str) -> tuple[Status, str]:
    """Return the status of a gRPC endpoint and a message.

    Args:
        answer: Its response.
        named_by: The variable that sets the endpoint.
    """
    if answer.code == "OK":
        return Status.PASS, f"{answer.endpoint} accepts traces over gRPC"
    message = f"{answer.endpoint} answered {answer.code}: {grpc_fix(answer, named_by, 'traces')}"
    if answer.endpoint.endswith(_HTTP_PORT) and _PROTOCOL not in message:
        message += f" ({_HTTP_PORT[1:]} is the port of OTLP over HTTP: {_PROTOCOL}=http/protobuf)"
    return Status.FAIL, message
