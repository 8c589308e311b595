"""Checks of OTLP: the endpoint answers an empty request, over HTTP or gRPC, sent like the exporter's."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel._otel_compat import GrpcAnswer, OtlpAnswer, ask_otlp
from mita_otel.doctor.network_errors import Peer, why_unreachable
from mita_otel.doctor.sentry import clock_check
from mita_otel.exporters.otlp import make_otlp_exporter
from mita_otel.exporters.registry import ExporterUnavailableError
from mita_otel.policy.health import DoctorPolicy
from mita_otel.sdk.health.check import Check, Status
from mita_otel.sentry.transport.certificates import Trust
from mita_otel.sentry.transport.ingest_client import Response

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
_CERTIFICATE: Final = "OTEL_EXPORTER_OTLP_CERTIFICATE"
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_ERRORS: Final = (
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; set {certificate} to the certificate of its authority"),
    (r"handshake|SSL|TLS", "the TLS handshake failed; check https and the port in {named_by}"),
    (r"DNS|[Nn]ame resolution|name or service not known|[Dd]omain name", "unknown host; check {named_by} and the name server"),
    (r"Connection refused", "it refuses connections; check the port in {named_by}, and that the server is running"),
    (r"http1|HTTP/1|http2 settings|frame", "it does not speak gRPC; over HTTP the port is 4318, with {protocol}=http/protobuf"),
    (r"Socket closed|Connection reset|Broken pipe|GOAWAY", "it closes the connection; check https in {named_by}, and {protocol}"),
)  # fmt: skip
"""Errors of gRPC's core for failed connections, most specific first, with the fix."""
_CODES: Final = {
    "UNAUTHENTICATED": "access denied; check OTEL_EXPORTER_OTLP_HEADERS",
    "PERMISSION_DENIED": "access denied; check OTEL_EXPORTER_OTLP_HEADERS",
    "UNIMPLEMENTED": "it does not accept traces; check that {named_by} is an OTLP endpoint",
    "RESOURCE_EXHAUSTED": "it accepts no data now; see its log",
    "DEADLINE_EXCEEDED": "it does not answer in time; check firewalls, and that it speaks gRPC",
}  # fmt: skip


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
    fix = f"check that {peer.named_by} is an OTLP endpoint"
    if answer.status in (401, 403):
        fix = "access denied; check OTEL_EXPORTER_OTLP_HEADERS"
    elif urlsplit(answer.endpoint).path.count(_PATH) > 1:
        fix = f"{_PATH} is appended to {peer.named_by}; remove it there"
    elif answer.status == 404:
        fix = f"no OTLP at {_PATH}; check host, port and path in {peer.named_by}"
    elif answer.status >= 500 or answer.status == 429:
        fix = "it accepts no data now; see its log"
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
    fix = _CODES.get(answer.code) or next(
        (text for pattern, text in _ERRORS if re.search(pattern, answer.details)),
        "the request failed; check {named_by} and its log",
    )
    message = f"{answer.endpoint} answered {answer.code}: " + fix.format(
        named_by=named_by, certificate=_CERTIFICATE, protocol=_PROTOCOL
    )
    if answer.endpoint.endswith(_HTTP_PORT) and _PROTOCOL not in message:
        message += f" ({_HTTP_PORT[1:]} is the port of OTLP over HTTP: {_PROTOCOL}=http/protobuf)"
    return Status.FAIL, message
