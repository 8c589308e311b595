"""Names a transaction: bounded, whatever the span at its root is. A pure function of the span.

A span's description may show the whole statement or URL. A transaction's name groups: method and route, operation and
table, task.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind

from mita_otel import semconv
from mita_otel.latency.bounded_names import MAX_LENGTH, bounded_destination, bounded_name
from mita_otel.latency.facts import CACHES, SpanFacts
from mita_otel.latency.sql import statement_name
from mita_otel.sentry.mapping.description import SpanDescription, describe_name

Attributes = Mapping[str, Any]


class TransactionName(NamedTuple):
    """A transaction's name."""

    name: str
    source: str
    """Sentry's transaction source: `route`, `url`, `task`, `component` or `custom`."""


def transaction_name(root: ReadableSpan, described: SpanDescription | None = None) -> TransactionName:
    """Return the name of the transaction with this root.

    Args:
        root: The span.
        described: Its description, if it is known.
    """
    attributes = root.attributes or {}
    if described is None or semconv.SENTRY_DESCRIPTION in attributes:
        described = describe_name(root)
    if attributes.get(semconv.SENTRY_NAME) or attributes.get(semconv.SENTRY_SOURCE):
        return TransactionName(described.description, described.source)
    family = described.op.partition(".")[0]
    rule = _RULES.get(family)
    named = rule(root, attributes, described) if rule is not None else None
    if named is None:
        return TransactionName(described.description, described.source)
    return TransactionName(named.name[:MAX_LENGTH], named.source)


def _http(root: ReadableSpan, attributes: Attributes, described: SpanDescription) -> TransactionName | None:
    method = semconv.first(attributes, semconv.HTTP_METHOD)
    if method is None:
        return None
    if described.source == "route":
        graphql = attributes.get("graphql.operation.name")
        name = described.description
        return TransactionName(
            name.replace(f"({graphql})", f"({bounded_name(str(graphql))})") if graphql else name, "route"
        )
    if root.kind is SpanKind.SERVER:
        return TransactionName(bounded_name(described.description), described.source)
    verb = "HTTP" if method == "_OTHER" else str(method)
    host = SpanFacts(root.name, root.kind.name, 0, attributes).host
    if host:
        return TransactionName(f"{verb} {bounded_name(host)}", "route")
    return TransactionName(f"{verb} (no route)", "url")


def _database(
    root: ReadableSpan, attributes: Attributes, described: SpanDescription
) -> TransactionName | None:
    system = semconv.first(attributes, semconv.DB_SYSTEM)
    if system is None:
        return None
    summary = semconv.first(attributes, semconv.DB_QUERY_SUMMARY)
    if summary:
        return TransactionName(bounded_name(str(summary)), "task")
    facts = SpanFacts(root.name, root.kind.name, 0, attributes)
    namespace = semconv.first(attributes, semconv.DB_NAMESPACE)
    if str(system) in CACHES:
        return TransactionName(facts.command or str(system), "task")
    if facts.verb is None and semconv.first(attributes, semconv.DB_STATEMENT) is None:
        return TransactionName(bounded_name(root.name), "task")
    name = statement_name(facts.verb, facts.table, str(namespace) if namespace else None, str(system))
    return TransactionName(bounded_name(name), "task")


def _cache(root: ReadableSpan, attributes: Attributes, described: SpanDescription) -> TransactionName:
    return TransactionName(str(attributes.get("cache.operation") or described.op), "task")


def _queue(root: ReadableSpan, attributes: Attributes, described: SpanDescription) -> TransactionName:
    task = attributes.get("celery.task_name")
    if task:
        return TransactionName(bounded_name(str(task)), "task")
    verb = described.op.partition(".")[2]
    destination = bounded_destination(attributes)
    if destination is None:
        return TransactionName(bounded_name(root.name), "task")
    return TransactionName(f"{verb} {destination}" if verb else destination, "task")


def _rpc(root: ReadableSpan, attributes: Attributes, described: SpanDescription) -> TransactionName:
    service, method = attributes.get("rpc.service"), attributes.get("rpc.method")
    called = "/".join(str(part) for part in (service, method) if part)
    return TransactionName(bounded_name(called if method else root.name), described.source)


def _websocket(root: ReadableSpan, attributes: Attributes, described: SpanDescription) -> TransactionName:
    route = semconv.first(attributes, (*semconv.HTTP_ROUTE, "url.template"))
    if route:
        name = root.name if str(route) in root.name else f"websocket {route}"
        return TransactionName(name, "route")
    return TransactionName("websocket (no route)", "custom")


def _name(root: ReadableSpan, attributes: Attributes, described: SpanDescription) -> TransactionName:
    return TransactionName(bounded_name(described.description), described.source)


_RULES: Final[Mapping[str, Callable[[ReadableSpan, Attributes, SpanDescription], TransactionName | None]]] = {
    "http": _http,
    "db": _database,
    "cache": _cache,
    "queue": _queue,
    "rpc": _rpc,
    "grpc": _rpc,
    "websocket": _websocket,
    "graphql": _name,
    "server": _name,
    "task": _name,
}
"""By the first word of Sentry's operation. Other names are the application's own."""
