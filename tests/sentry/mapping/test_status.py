"""Sentry's status of a span."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.trace import StatusCode

from mita_otel.sentry.mapping.status import status_of, status_of_http
from sentry.spans import make

HTTP = {
    100: "ok", 200: "ok", 204: "ok", 301: "ok", 399: "ok",
    400: "invalid_argument", 401: "unauthenticated", 403: "permission_denied", 404: "not_found",
    405: "invalid_argument", 408: "invalid_argument", 409: "already_exists", 412: "invalid_argument",
    413: "failed_precondition", 418: "invalid_argument", 422: "invalid_argument", 429: "resource_exhausted",
    499: "cancelled", 500: "internal_error", 501: "unimplemented", 502: "internal_error", 503: "unavailable",
    504: "deadline_exceeded", 599: "internal_error",
}  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), HTTP.items())
def test_each_http_status_code_has_a_sentry_status(code: int, expected: str) -> None:
    assert status_of_http(code) == expected
    for name in ("http.response.status_code", "http.status_code"):
        for value in (code, str(code)):
            assert status_of(make(1, attributes={name: value})) == expected


GRPC = {
    0: "ok", 1: "cancelled", 2: "unknown", 3: "invalid_argument", 4: "deadline_exceeded", 5: "not_found",
    6: "already_exists", 7: "permission_denied", 8: "resource_exhausted", 9: "failed_precondition", 10: "aborted",
    11: "out_of_range", 12: "unimplemented", 13: "internal_error", 14: "unavailable", 15: "data_loss",
    16: "unauthenticated", 17: "unknown", "DEADLINE_EXCEEDED": "deadline_exceeded", "INTERNAL": "internal_error",
}  # fmt: skip


@pytest.mark.parametrize(("code", "expected"), GRPC.items())
def test_each_grpc_status_code_has_a_sentry_status(code: Any, expected: str) -> None:
    assert status_of(make(1, attributes={"rpc.grpc.status_code": code})) == expected
    assert status_of(make(1, attributes={"rpc.response.status_code": code})) == expected


U, OK, ERROR = StatusCode.UNSET, StatusCode.OK, StatusCode.ERROR
BOTH: dict[str, tuple[StatusCode, str | None, dict[str, Any], str]] = {
    "unset": (U, None, {}, "ok"),
    "set to ok": (OK, None, {"http.response.status_code": 500}, "ok"),
    "failed": (ERROR, None, {}, "internal_error"),
    "failed, and why": (ERROR, "ValueError: no", {}, "internal_error"),
    "failed, with a status' name": (ERROR, "deadline_exceeded", {}, "deadline_exceeded"),
    "failed with a reason": (ERROR, None, {"http.response.status_code": 503}, "unavailable"),
    "failed after a good answer": (ERROR, None, {"http.response.status_code": 200}, "internal_error"),
    "failed with a good gRPC status": (ERROR, None, {"rpc.grpc.status_code": 0}, "internal_error"),
    "not a number": (U, None, {"http.response.status_code": "many"}, "ok"),
    "not a number at all": (U, None, {"http.response.status_code": [500]}, "ok"),
    "true is no number": (U, None, {"http.response.status_code": True}, "ok"),
}


@pytest.mark.parametrize(("code", "text", "attributes", "expected"), BOTH.values(), ids=BOTH.keys())
def test_span_status_and_protocol_status_are_combined(
    code: StatusCode, text: str | None, attributes: dict[str, Any], expected: str
) -> None:
    assert status_of(make(1, attributes=attributes, status=code, description=text)) == expected
