"""Sentry's span status, of an HTTP or gRPC status where there is one, else of the span's own.

Source: Sentry's span statuses, and how its SDKs map HTTP and gRPC statuses to them.
"""

from __future__ import annotations

from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mita_otel import semconv

OF_HTTP: Final = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    409: "already_exists",
    413: "failed_precondition",
    429: "resource_exhausted",
    499: "cancelled",
    500: "internal_error",
    501: "unimplemented",
    503: "unavailable",
    504: "deadline_exceeded",
}
"""HTTP statuses with a status of their own; below 400 all is `ok`, other 4xx and 5xx go with 400 and 500."""

OF_GRPC: Final = (
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal_error",
    "unavailable",
    "data_loss",
    "unauthenticated",
)
"""By gRPC's code."""

_STATUSES: Final = frozenset(OF_GRPC)


def status_of(span: ReadableSpan) -> str:
    """Return Sentry's span status.

    A span that says OK is ok. One that failed keeps the reason that its HTTP or gRPC status gives, or its
    description if that is a status' name; one that says nothing is judged by HTTP or gRPC status alone.
    """
    attributes = span.attributes or {}
    code = span.status.status_code
    if code is StatusCode.OK:
        return "ok"
    failed = code is StatusCode.ERROR
    http = _integer(semconv.first(attributes, semconv.HTTP_STATUS_CODE))
    if http is not None and (http >= 400 or not failed):
        return status_of_http(http)
    grpc = _grpc(attributes.get("rpc.grpc.status_code", attributes.get("rpc.response.status_code")))
    if grpc is not None and (grpc != "ok" or not failed):
        return grpc
    if not failed:
        return "ok"
    description = str(span.status.description or "")
    return description if description in _STATUSES else "internal_error"


def status_of_http(code: int) -> str:
    """Return Sentry's span status of an HTTP status code."""
    if code < 400:
        return "ok"
    return OF_HTTP.get(code) or ("invalid_argument" if code < 500 else "internal_error")


def _grpc(value: Any) -> str | None:
    """Read a code, or a code's name as the stable conventions have it (`DEADLINE_EXCEEDED`)."""
    if isinstance(value, str) and value.lower() in _STATUSES:
        return value.lower()
    code = _integer(value)
    if code is None:
        return {"INTERNAL": "internal_error"}.get(value) if isinstance(value, str) else None
    return OF_GRPC[code] if 0 <= code < len(OF_GRPC) else "unknown"


def _integer(value: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | str):
        return None
    try:
        return int(value)
    except ValueError:
        return None
