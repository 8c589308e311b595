"""OTLP over gRPC: what an endpoint's answer to an empty request means."""

from __future__ import annotations

import re
from typing import Final

from mita_otel._otel_compat import GrpcAnswer
from mita_otel.sdk.health.check import Status

_HTTP_PORT: Final = ":4318"
_CERTIFICATE: Final = "OTEL_EXPORTER_OTLP_CERTIFICATE"
_PROTOCOL: Final = "OTEL_EXPORTER_OTLP_PROTOCOL"
_WORDS: Final = (
    (r"CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted; name its authority's in {certificate}"),
    (r"handshake|SSL|TLS", "it does not speak TLS as it should; is https right in {named_by}, and the port?"),
    (r"DNS|[Nn]ame resolution|name or service not known|[Dd]omain name", "there is no host of that name; check {named_by} and the name server"),
    (r"Connection refused", "nobody listens there; check the port in {named_by}, and that what should listen there runs"),
    (r"http1|HTTP/1|http2 settings|frame", "it does not speak gRPC; over HTTP the port is 4318, with {protocol}=http/protobuf"),
    (r"Socket closed|Connection reset|Broken pipe|GOAWAY", "it hangs up; does it expect https, or HTTP instead of gRPC? Check {named_by} and {protocol}"),
)  # fmt: skip
"""What gRPC's core says of a connection that failed, most telling first, and the mend."""
_CODES: Final = {
    "UNAUTHENTICATED": "it does not let this service in; check OTEL_EXPORTER_OTLP_HEADERS",
    "PERMISSION_DENIED": "it does not let this service in; check OTEL_EXPORTER_OTLP_HEADERS",
    "UNIMPLEMENTED": "it takes no traces; does OTLP go to the endpoint in {named_by}?",
    "RESOURCE_EXHAUSTED": "it takes nothing now; look at its log",
    "DEADLINE_EXCEEDED": "it does not answer in time; does a firewall swallow it, does it speak gRPC?",
}  # fmt: skip


def grpc_answered(answer: GrpcAnswer, named_by: str) -> tuple[Status, str]:
    """Return how an endpoint is, and what to say of it.

    Args:
        answer: Its answer.
        named_by: The variable that names it.
    """
    if answer.code == "OK":
        return Status.PASS, f"{answer.endpoint} takes traces, over gRPC"
    mend = _CODES.get(answer.code) or next(
        (words for pattern, words in _WORDS if re.search(pattern, answer.details)),
        "it cannot be asked; check {named_by}, and its log",
    )
    said = f"{answer.endpoint} answered {answer.code}: " + mend.format(
        named_by=named_by, certificate=_CERTIFICATE, protocol=_PROTOCOL
    )
    if answer.endpoint.endswith(_HTTP_PORT) and _PROTOCOL not in said:
        said += f" ({_HTTP_PORT[1:]} is the port of OTLP over HTTP: {_PROTOCOL}=http/protobuf)"
    return Status.FAIL, said
