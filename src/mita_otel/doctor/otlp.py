"""OTLP: whether the endpoint answers an empty request, asked the way that the exporter goes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import certifi
from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel._otel_compat import GrpcAnswer, OtlpAnswer, ask_otlp
from mita_otel.doctor.otlp_grpc import grpc_answered
from mita_otel.doctor.reach import clock_check
from mita_otel.doctor.unreachable import Peer, why_unreachable
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


def otlp_checks(
    policy: DoctorPolicy,
    env: Mapping[str, str],
    *,
    network: bool = True,
    clock: Callable[[], float] = time.time,
) -> Iterator[Check]:
    """Look whether the OTLP exporter can be had, and its endpoint answers.

    Args:
        policy: How long it may take.
        env: The environment variables.
        network: Whether the endpoint is asked.
        clock: Seconds since the epoch.
    """
    believed = _trust(env)
    if not Path(believed.file).exists():
        said = f"{believed.named_by} names the certificates in {believed.file}: there is no such file; correct or unset it"
        yield Check(_NAME, Status.FAIL, said)
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
        yield Check(_NAME, Status.PASS, "its endpoint was not asked")
        return
    named_by = next((one for one in _ENDPOINTS if env.get(one)), _ENDPOINTS[-1])
    if isinstance(answer, GrpcAnswer):
        yield Check(_NAME, *grpc_answered(answer, named_by))
        return
    peer = Peer.of(answer.endpoint, named_by, believed, _CERTIFICATES[1])
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
        return Check(_NAME, Status.PASS, f"{peer.address} takes traces", observed)
    where = f"{peer.address} answered {answer.status}"
    mend = f"does OTLP go to the endpoint in {peer.named_by}?"
    if answer.status in (401, 403):
        mend = "it does not let this service in; check OTEL_EXPORTER_OTLP_HEADERS"
    elif urlsplit(answer.endpoint).path.count(_PATH) > 1:
        mend = f"{_PATH} is added to {peer.named_by}; leave it out there"
    elif answer.status == 404:
        mend = f"there is no {_PATH} of OTLP; check host, port and path of {peer.named_by}"
    elif answer.status >= 500 or answer.status == 429:
        mend = "it takes nothing now; look at its log"
    return Check(_NAME, Status.FAIL, f"{where}: {mend}", observed)


def _trust(env: Mapping[str, str]) -> Trust:
    """Return whose certificates the exporter believes: those that its variables name, else requests'."""
    found = next((one for one in _CERTIFICATES if env.get(one)), "")
    return Trust(env[found], found) if found else Trust(certifi.where(), "")
