"""What a span is called in Sentry: a pure function of its kind, name and attributes.

Sources: OpenTelemetry semantic conventions (old and stable); Sentry's span operations and span statuses.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from mita_otel import semconv


@dataclass(frozen=True, slots=True)
class SpanDescription:
    """How Sentry shows a span."""

    op: str
    """Sentry's operation, as in `http.server` or `db`."""
    description: str
    """The transaction's name, or the span's description."""
    source: str
    """Sentry's transaction source: `route`, `url`, `task` or `custom`."""
    status: str
    """Sentry's span status, as in `ok` or `not_found`."""


_HTTP_STATUS = {
    400: "invalid_argument",
    401: "unauthenticated",
    403: "permission_denied",
    404: "not_found",
    408: "deadline_exceeded",
    409: "already_exists",
    412: "failed_precondition",
    413: "failed_precondition",
    429: "resource_exhausted",
    499: "cancelled",
    500: "internal_error",
    501: "unimplemented",
    503: "unavailable",
    504: "deadline_exceeded",
}

_GRPC_STATUS = (
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

_CACHES = frozenset({"redis", "memcached", "valkey", "keydb"})


def describe(span: ReadableSpan) -> SpanDescription:
    """Return the span's operation, description, transaction source and status."""
    attributes = span.attributes or {}
    op, description, source = _name(span.name, span.kind, attributes)
    return SpanDescription(op, description, source, status_of(span))


def _name(name: str, kind: SpanKind, attributes: Mapping[str, Any]) -> tuple[str, str, str]:
    method = semconv.first(attributes, semconv.HTTP_METHOD)
    system = semconv.first(attributes, semconv.DB_SYSTEM)
    if attributes.get(semconv.OPERATION):
        background = attributes.get(semconv.OPERATION_KIND) == "background"
        return ("task" if background else "financial.operation"), name, "task" if background else "custom"
    if method:
        return _http(name, kind, str(method), attributes)
    if system is not None:
        statement = semconv.first(attributes, semconv.DB_STATEMENT)
        op = "db.redis" if system in _CACHES else "db"
        return op, str(statement or name), "task"
    if semconv.first(attributes, semconv.RPC_SYSTEM):
        return ("rpc.server" if kind is SpanKind.SERVER else "rpc"), name, "route"
    if semconv.first(attributes, semconv.MESSAGING_SYSTEM):
        return _messaging(kind, attributes), name, "route"
    if attributes.get("faas.trigger"):
        return f"function.{attributes['faas.trigger']}", name, "task"
    if attributes.get("graphql.operation.type"):
        return f"graphql.{attributes['graphql.operation.type']}", name, "component"
    if attributes.get("gen_ai.operation.name"):
        return f"gen_ai.{attributes['gen_ai.operation.name']}", name, "custom"
    if attributes.get("network.protocol.name") == "websocket" or (kind is SpanKind.SERVER):
        return "websocket.server" if kind is SpanKind.SERVER else "websocket.client", name, "route"
    return "function", name, "custom"


def _http(name: str, kind: SpanKind, method: str, attributes: Mapping[str, Any]) -> tuple[str, str, str]:
    op = {SpanKind.SERVER: "http.server", SpanKind.CLIENT: "http.client"}.get(kind, "http")
    route = semconv.first(attributes, semconv.HTTP_ROUTE)
    if route:
        return op, f"{method} {route}", "route"
    path = semconv.first(attributes, semconv.HTTP_PATH)
    url = semconv.first(attributes, semconv.HTTP_URL)
    if kind is SpanKind.CLIENT and url:
        return op, f"{method} {str(url).partition('?')[0].partition('#')[0]}", "url"
    if path:
        return op, f"{method} {str(path).partition('?')[0]}", "url"
    return op, name, "custom"


def _messaging(kind: SpanKind, attributes: Mapping[str, Any]) -> str:
    if kind is SpanKind.CONSUMER:
        operation = semconv.first(attributes, semconv.MESSAGING_OPERATION)
        return "queue.receive" if operation in {"receive", "poll"} else "queue.process"
    return "queue.publish" if kind is SpanKind.PRODUCER else "queue"


def status_of(span: ReadableSpan) -> str:
    """Return Sentry's span status: of the HTTP or gRPC status where there is one, else of the span's own."""
    attributes = span.attributes or {}
    failed = span.status.status_code is StatusCode.ERROR
    http = _integer(semconv.first(attributes, semconv.HTTP_STATUS_CODE))
    grpc = _integer(attributes.get("rpc.grpc.status_code"))
    if http is not None and (http >= 400 or not failed):
        return status_of_http(http)
    if grpc is not None and (grpc > 0 or not failed):
        return _GRPC_STATUS[grpc] if 0 <= grpc < len(_GRPC_STATUS) else "unknown"
    return "internal_error" if failed else "ok"


def status_of_http(code: int) -> str:
    """Return Sentry's span status of an HTTP status code."""
    if code < 400:
        return "ok"
    return _HTTP_STATUS.get(code) or ("invalid_argument" if code < 500 else "internal_error")


def _integer(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
