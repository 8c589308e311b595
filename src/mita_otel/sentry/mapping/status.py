"""Derives Sentry's span status from the HTTP or gRPC status if there is one, else from the span's status.

Source: Sentry's span statuses, and the mapping of HTTP and gRPC statuses in its SDKs.
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
"""Sentry's status by HTTP status. Statuses below 400 are `ok`; other 4xx and 5xx statuses map like 400 and 500."""

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
"""Sentry's status by gRPC code, which is the index."""

SERVER_FAILURES: Final = frozenset(
    {"internal_error", "unimplemented", "unavailable", "deadline_exceeded", "data_loss"}
)
"""The statuses of responses with 5xx, of unhandled errors, and of gRPC's server errors. The statuses of 4xx are answers."""

_STATUSES: Final = frozenset(OF_GRPC)


def status_of(span: ReadableSpan) -> str:
    """Return Sentry's span status.

    A span with status OK is `ok`. A failed span gets the status for its HTTP or gRPC status, or else its description if
    that is the name of a status. A span with status UNSET gets the status for its HTTP or gRPC status.
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
    """Return Sentry's span status for an HTTP status code."""
    if code < 400:
        return "ok"
    return OF_HTTP.get(code) or ("invalid_argument" if code < 500 else "internal_error")


def _grpc(value: Any) -> str | None:
    """Return Sentry's status for a gRPC code or its name in the stable conventions (`DEADLINE_EXCEEDED`)."""
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
