"""Attribute values of OpenTelemetry as JSON values and as Sentry's typed attributes; the `data` of a span.

A span's `data` has its attributes also under the names that Sentry's Insights pages read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel._json import json_bytes

_LARGEST: Final = 2**63 - 1
_ALIASES: Final = (
    ("db.system", "db.system.name"),
    ("db.operation", "db.operation.name"),
    ("db.name", "db.namespace"),
    ("db.sql.table", "db.collection.name"),
    ("http.method", "http.request.method"),
    ("http.status_code", "http.response.status_code"),
    ("http.response_content_length", "http.response.body.size"),
    ("messaging.destination", "messaging.destination.name"),
)
"""Old and stable names. Sentry's pages read the stable name; Relay groups queries by the old name."""
_SERVER_ALIASES: Final = (
    ("net.host.name", "server.address"),
    ("net.host.port", "server.port"),
    ("net.peer.ip", "client.address"),
    ("net.peer.port", "client.port"),
)
"""Old and stable names of a server's span. Its peer is the client."""
_CLIENT_ALIASES: Final = (("net.peer.name", "server.address"), ("net.peer.port", "server.port"))
"""Old and stable names of other spans. Their peer is the server."""
_OLD_TOO: Final = frozenset({"db.system", "db.operation"})
"""Old names that are added if only the stable name is set, because Relay still reads them."""


def json_value(value: Any) -> Any:
    """Return a value as a JSON value. Objects of other types become text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): json_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(member) for member in value]
    return str(value)


def seconds(time_ns: int | None) -> float:
    """Return nanoseconds since the epoch as seconds, rounded to microseconds."""
    return round((time_ns or 0) / 1e9, 6)


def ids_of(span: ReadableSpan) -> dict[str, str]:
    """Return a span's `trace_id`, `span_id` and `parent_span_id` under Sentry's names. A root span has no parent id."""
    ids: dict[str, str] = {}
    if span.context is not None:
        ids["trace_id"] = format_trace_id(span.context.trace_id)
        ids["span_id"] = format_span_id(span.context.span_id)
    if span.parent is not None:
        ids["parent_span_id"] = format_span_id(span.parent.span_id)
    return ids


def typed(value: Any) -> dict[str, Any]:
    """Return a value with its Sentry type. A value without a Sentry type becomes text.

    Source: Sentry's span protocol and logs protocol, attribute object.
    """
    if isinstance(value, bool):
        return {"value": value, "type": "boolean"}
    if isinstance(value, int) and -_LARGEST <= value <= _LARGEST:
        return {"value": value, "type": "integer"}
    if isinstance(value, float) and math.isfinite(value):
        return {"value": value, "type": "double"}
    if isinstance(value, list | tuple):
        kinds = {type(one) for one in value}
        if len(kinds) <= 1 and kinds <= {str, int, float, bool}:
            return {"value": list(value), "type": "array"}
    if isinstance(value, str):
        return {"value": value, "type": "string"}
    if isinstance(value, Mapping | list | tuple):
        return {"value": json_bytes(value).decode(), "type": "string"}
    return {"value": str(value), "type": "string"}


def typed_attributes(attributes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return attributes with their types. Attributes without a value are omitted."""
    return {str(name): typed(value) for name, value in attributes.items() if value is not None}


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes as JSON values, also under the names that Sentry reads."""
    data = {str(name): json_value(value) for name, value in (span.attributes or {}).items()}
    peers = _SERVER_ALIASES if span.kind is SpanKind.SERVER else _CLIENT_ALIASES
    for old, stable in (*_ALIASES, *peers):
        if old in data:
            data.setdefault(stable, data[old])
        elif old in _OLD_TOO and stable in data:
            data[old] = data[stable]
    return data


def data_of(span: ReadableSpan, description: str) -> dict[str, Any]:
    """Return a span's `data`: attributes, kind, events, status text. A statement equal to the description is omitted."""
    data = attributes_of(span)
    for name in semconv.DB_STATEMENT:
        if data.get(name) == description:
            del data[name]
    data["otel.kind"] = span.kind.name
    if span.events:
        data["otel.events"] = [
            {
                "name": event.name,
                "timestamp": seconds(event.timestamp),
                "attributes": json_value(event.attributes or {}),
            }
            for event in span.events
        ]
    if span.status.description:
        data["otel.status_description"] = span.status.description
    return data


def links_of(span: ReadableSpan) -> list[dict[str, Any]]:
    """Return a span's links in Sentry's format."""
    return [
        {
            "trace_id": format_trace_id(link.context.trace_id),
            "span_id": format_span_id(link.context.span_id),
            "sampled": link.context.trace_flags.sampled,
            **({"attributes": json_value(link.attributes)} if link.attributes else {}),
        }
        for link in span.links
    ]


def origin_of(span: ReadableSpan) -> str:
    """Return the instrumentation that created the span, such as `auto.otel.sqlalchemy`."""
    attributes: Mapping[str, Any] = span.attributes or {}
    origin = attributes.get(semconv.SENTRY_ORIGIN)
    if origin:
        return str(origin)
    scope = span.instrumentation_scope
    name = (scope.name if scope else "").rpartition(".")[2].replace("_", "-")
    return f"auto.otel.{name}" if name.replace("-", "").isalnum() else "auto.otel"
