"""Checks of what exporters connect to: the OTLP endpoint answers, the port of the Prometheus exporter is free.

The OTLP endpoint receives an empty request, over HTTP or gRPC, sent like the exporter's.
"""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi
import urllib3
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel import environment_variables as variables
from mita_otel._otel_compat.otlp import GrpcAnswer, OtlpAnswer, ask_otlp
from mita_otel.doctor.network_errors import Peer, why_unreachable
from mita_otel.doctor.sentry import clock_check
from mita_otel.exporters.registry import ExporterUnavailableError, make_otlp_exporter
from mita_otel.policy.runtime import DoctorPolicy
from mita_otel.processors.queues.otlp_responses import grpc_fix, http_fix
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.ingest_client import Response, Trust

_OTLP: Final = "exporter:otlp"
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
_PROMETHEUS: Final = "exporter:prometheus"
_HOST: Final = "OTEL_EXPORTER_PROMETHEUS_HOST"
_DEFAULT_HOST, _DEFAULT_PORT = "localhost", 9464


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
        yield Check(_OTLP, Status.FAIL, message)
        return
    try:
        exporter = make_otlp_exporter(env)
    except (ExporterUnavailableError, ValueError) as error:
        yield Check(_OTLP, Status.FAIL, str(error))
        return
    try:
        with suppress_instrumentation():
            answer = ask_otlp(exporter, policy.timeout_s) if network else None
    finally:
        exporter.shutdown()
    if answer is None:
        yield Check(_OTLP, Status.PASS, "endpoint not contacted")
        return
    named_by = next((one for one in _ENDPOINTS if env.get(one)), _ENDPOINTS[-1])
    if isinstance(answer, GrpcAnswer):
        yield Check(_OTLP, *grpc_answered(answer, named_by))
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
        return Check(_OTLP, Status.FAIL, why)
    observed = {"status": answer.status}
    if 200 <= answer.status < 300:
        return Check(_OTLP, Status.PASS, f"{peer.address} accepts traces", observed)
    where = f"{peer.address} answered {answer.status}"
    fix = http_fix(answer.status, peer.named_by, _PATH)
    if answer.status not in (401, 403) and urlsplit(answer.endpoint).path.count(_PATH) > 1:
        fix = f"{_PATH} is appended to {peer.named_by}; remove it there"
    return Check(_OTLP, Status.FAIL, f"{where}: {fix}", observed)


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


def prometheus_checks(policy: DoctorPolicy, env: Mapping[str, str]) -> Iterator[Check]:
    """Check the port that the `prometheus` exporter listens on, if metrics are exported there.

    Args:
        policy: Time limits.
        env: The environment variables.
    """
    if "prometheus" not in {one.strip() for one in env.get(variables.METRICS_EXPORTER, "").split(",")}:
        return
    host = env.get(_HOST, "").strip() or _DEFAULT_HOST
    port = int(env.get(variables.PROMETHEUS_PORT, "").strip() or _DEFAULT_PORT)
    where = f"{host}:{port}"
    fault = _fault(host, port)
    if fault is None:
        yield Check(_PROMETHEUS, Status.PASS, f"{where} is free")
    elif fault.errno != errno.EADDRINUSE:
        message = f"the exporter cannot listen on {where} ({fault.strerror or fault}); correct {_HOST} or {variables.PROMETHEUS_PORT}"
        yield Check(_PROMETHEUS, Status.FAIL, message)
    elif _has_metrics(where, policy.timeout_s / 4):
        message = f"{where} answers with metrics already: if that is not this service, set {variables.PROMETHEUS_PORT} to a free port. Each process needs its own port"
        yield Check(_PROMETHEUS, Status.WARN, message)
    else:
        message = f"{where} is in use by another program: set {variables.PROMETHEUS_PORT} to a free port"
        yield Check(_PROMETHEUS, Status.FAIL, message)


def _fault(host: str, port: int) -> OSError | None:
    """Return why nothing can listen on an address. The port is free again afterwards."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family, kind) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
            listener.listen(1)
    except OSError as error:
        return error
    return None


def _has_metrics(where: str, timeout_s: float) -> bool:
    try:
        answer = urllib3.request("GET", f"http://{where}/metrics", timeout=timeout_s, retries=False)
    except urllib3.exceptions.HTTPError:
        return False
    return answer.status == 200 and b"# TYPE " in answer.data
