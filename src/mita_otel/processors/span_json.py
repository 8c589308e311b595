"""A finished span as a plain mapping: what the file exporter writes, a line a span."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanContext, format_span_id, format_trace_id


def span_json(span: ReadableSpan) -> dict[str, Any]:
    """Return the span as a mapping of plain values.

    Ids are hexadecimal as in W3C Trace Context, times are nanoseconds since the epoch, `duration_ms` is
    milliseconds. A span that has no end (it never should) has a null `end_ns`.
    """
    context = span.context
    start_ns, end_ns = span.start_time, span.end_time
    scope = span.instrumentation_scope
    return {
        "trace_id": format_trace_id(context.trace_id) if context else None,
        "span_id": format_span_id(context.span_id) if context else None,
        "parent_span_id": format_span_id(span.parent.span_id) if span.parent else None,
        "parent_is_remote": bool(span.parent and span.parent.is_remote),
        "name": span.name,
        "kind": span.kind.name,
        "start_ns": start_ns,
        "end_ns": end_ns,
        "duration_ms": None if start_ns is None or end_ns is None else (end_ns - start_ns) / 1e6,
        "status": {"code": span.status.status_code.name, "description": span.status.description},
        "attributes": json_value(span.attributes or {}),
        "events": [
            {"name": event.name, "time_ns": event.timestamp, "attributes": json_value(event.attributes or {})}
            for event in span.events
        ],
        "links": [
            {**_ids(link.context), "attributes": json_value(link.attributes or {})} for link in span.links
        ],
        "resource": json_value(span.resource.attributes),
        "scope": {"name": scope.name, "version": scope.version} if scope else None,
        "dropped": {
            "attributes": span.dropped_attributes,
            "events": span.dropped_events,
            "links": span.dropped_links,
        },
    }


def json_value(value: Any) -> Any:
    """Return an attribute value with nothing in it but what JSON knows."""
    if isinstance(value, Mapping):
        return {str(key): json_value(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [json_value(member) for member in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _ids(context: SpanContext) -> dict[str, str]:
    return {"trace_id": format_trace_id(context.trace_id), "span_id": format_span_id(context.span_id)}
