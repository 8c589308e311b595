"""Describes a span for Sentry: a pure function of its kind, name, attributes and status.

Sources: OpenTelemetry semantic conventions (old and stable names); Sentry's conventions for span operations,
descriptions and transaction sources. Attributes that a service sets itself (`sentry.op`, `sentry.source`,
`sentry.custom_span_name`, `sentry.description`) take precedence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from mita_otel import semconv
from mita_otel.sentry.mapping.naming import SpanNaming, gen_ai, graphql, mcp
from mita_otel.sentry.mapping.status import status_of

Attributes = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SpanDescription:
    """How Sentry shows a span."""

    op: str
    """Sentry's operation, such as `http.server` or `db`."""
    description: str
    """The transaction's name, or the span's description."""
    source: str
    """Sentry's transaction source: `route`, `url`, `task`, `component` or `custom`."""
    status: str
    """Sentry's span status, such as `ok` or `not_found`."""


def describe(span: ReadableSpan) -> SpanDescription:
    """Return the span's operation, description, transaction source and status."""
    attributes = span.attributes or {}
    named = describe_name(span)
    own = attributes.get(semconv.SENTRY_DESCRIPTION)
    if not own or attributes.get(semconv.SENTRY_NAME):
        return named
    return replace(named, description=str(own))


def describe_name(span: ReadableSpan) -> SpanDescription:
    """Return the span's description without `sentry.description`, which may vary, for the name of a transaction."""
    attributes = span.attributes or {}
    naming = next(
        (naming for rule in _RULES if (naming := rule(span.name, span.kind, attributes)) is not None),
        SpanNaming("function", span.name, "custom"),
    )
    source = str(attributes.get(semconv.SENTRY_SOURCE) or naming.source)
    # The service has named the span itself if it says so by the source.
    keeps_name = attributes.get(semconv.SENTRY_SOURCE) == "custom"
    description = span.name if keeps_name else naming.description
    return SpanDescription(
        op=str(attributes.get(semconv.SENTRY_OP) or naming.op),
        description=str(attributes.get(semconv.SENTRY_NAME) or description),
        source=source,
        status=status_of(span),
    )


def _operation(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    if attributes.get(semconv.OPERATION) is None and attributes.get(semconv.OPERATION_KIND) is None:
        return None
    if attributes.get(semconv.OPERATION_KIND) == "background":
        return SpanNaming("task", name, "task")
    return SpanNaming("financial.operation", name, "custom")


def _http(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    method = semconv.first(attributes, semconv.HTTP_METHOD)
    if not method:
        return None
    verb = "HTTP" if method == "_OTHER" else str(method)
    op = {SpanKind.SERVER: "http.server", SpanKind.CLIENT: "http.client"}.get(kind, "http")
    graphql = attributes.get("graphql.operation.name")
    suffix = f" ({graphql})" if graphql else ""
    template = semconv.route(attributes) or attributes.get("url.template")
    if template:
        return SpanNaming(op, f"{verb} {template}{suffix}", "route")
    url = semconv.first(attributes, semconv.HTTP_URL)
    path = semconv.first(attributes, semconv.HTTP_PATH)
    place = (url or path) if kind is SpanKind.CLIENT else (path or url)
    if place:
        bare = str(place).partition("?")[0].partition("#")[0]
        return SpanNaming(op, f"{verb} {bare}{suffix}", "route" if bare == "/" else "url")
    return SpanNaming(op, name, "custom")


_CACHE_OPS: Final = {
    "get": "cache.get",
    "get_many": "cache.get",
    "put": "cache.put",
    "set": "cache.put",
    "set_many": "cache.put",
    "add": "cache.put",
    "delete": "cache.remove",
    "remove": "cache.remove",
}


def _cache(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    key, hit = attributes.get("cache.key"), attributes.get("cache.hit")
    operation = attributes.get("cache.operation")
    if key is None and hit is None and operation is None:
        return None
    if operation is None:
        op = "cache.get" if hit is not None else "cache"
    else:
        op = _CACHE_OPS.get(str(operation).lower(), "cache")
    keys = key if isinstance(key, list | tuple) else [key]
    return SpanNaming(op, ", ".join(str(one) for one in keys if one is not None) or name, "task")


_REDIS: Final = frozenset({"redis", "valkey", "keydb"})


def _database(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    system = semconv.first(attributes, semconv.DB_SYSTEM)
    if system is None:
        return None
    statement = semconv.first(attributes, (*semconv.DB_STATEMENT, *semconv.DB_QUERY_SUMMARY))
    return SpanNaming("db.redis" if str(system) in _REDIS else "db", str(statement or name), "task")


def _rpc(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    system = semconv.first(attributes, semconv.RPC_SYSTEM)
    if system is None and attributes.get("rpc.service") is None:
        return None
    family = "grpc" if system == "grpc" else "rpc"
    return SpanNaming(
        {SpanKind.SERVER: f"{family}.server", SpanKind.CLIENT: f"{family}.client"}.get(kind, family),
        name,
        "route",
    )


_QUEUE_OPS: Final = {
    "create": "queue.create",
    "send": "queue.publish",
    "publish": "queue.publish",
    "receive": "queue.receive",
    "poll": "queue.receive",
    "process": "queue.process",
    "deliver": "queue.process",
    "settle": "queue.settle",
    "ack": "queue.settle",
}


def _messaging(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    if semconv.first(attributes, semconv.MESSAGING_SYSTEM) is None:
        return None
    by_kind = {SpanKind.PRODUCER: "queue.publish", SpanKind.CONSUMER: "queue.process"}
    operation = str(semconv.first(attributes, semconv.MESSAGING_OPERATION) or "").lower()
    op = _QUEUE_OPS.get(operation) or by_kind.get(kind, "queue")
    return SpanNaming(op, str(semconv.first(attributes, semconv.MESSAGING_DESTINATION) or name), "task")


_CLOUDS: Final = {"aws": "aws", "gcp": "gcp", "azure": "azure"}


def _function(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    if attributes.get("faas.trigger") is None and attributes.get("faas.invoked_name") is None:
        return None
    provider = attributes.get("faas.invoked_provider") or attributes.get("cloud.provider")
    cloud = _CLOUDS.get(str(provider))
    return SpanNaming(f"function.{cloud}" if cloud else "function", name, "task")


def _websocket(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    scheme = semconv.first(attributes, semconv.HTTP_SCHEME)
    if attributes.get("network.protocol.name") != "websocket" and scheme not in {"ws", "wss"}:
        return None
    route = semconv.first(attributes, semconv.HTTP_ROUTE)
    op = {SpanKind.SERVER: "websocket.server", SpanKind.CLIENT: "websocket.client"}.get(kind, "websocket")
    return SpanNaming(op, name, "route" if route else "custom")


_FRAMEWORK_OPS: Final = {
    "fastapi.endpoint": "handler",
    "fastapi.dependencies": "middleware",
    "fastapi.serialization": "serialize",
    "fastapi.background_task": "task",
}


def _framework(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    if name.startswith("BackgroundTask "):
        return SpanNaming("task", name, "task")
    op = _FRAMEWORK_OPS.get(name)
    if op is None:
        return None
    return SpanNaming(op, str(attributes.get("code.function.name") or name), "component")


def _by_kind(name: str, kind: SpanKind, attributes: Attributes) -> SpanNaming | None:
    if kind is SpanKind.SERVER:
        return SpanNaming("server", name, "route")
    if kind is SpanKind.CONSUMER:
        return SpanNaming("queue.process", name, "task")
    if kind is SpanKind.PRODUCER:
        return SpanNaming("queue.publish", name, "task")
    return None


_RULES: Final[tuple[Callable[[str, SpanKind, Attributes], SpanNaming | None], ...]] = (
    _operation,
    mcp,
    gen_ai,
    _websocket,
    _http,
    _cache,
    _database,
    _messaging,
    _rpc,
    _function,
    graphql,
    _framework,
    _by_kind,
)
"""Rules in order of precedence. The first rule that returns a result applies."""
