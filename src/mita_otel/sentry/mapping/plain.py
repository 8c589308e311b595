"""Values of OpenTelemetry as plain JSON, and times as Sentry writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id


def plain(value: Any) -> Any:
    """Return a value with nothing in it but what JSON knows."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        return {str(key): plain(member) for key, member in value.items()}
    if isinstance(value, list | tuple):
        return [plain(member) for member in value]
    return str(value)


def seconds(time_ns: int | None) -> float:
    """Return nanoseconds since the epoch as seconds, exact to the microsecond."""
    return round((time_ns or 0) / 1e9, 6)


def ids_of(span: ReadableSpan) -> dict[str, str]:
    """Return a span's `trace_id`, `span_id` and, if it has one, `parent_span_id`, as Sentry names them."""
    ids: dict[str, str] = {}
    if span.context is not None:
        ids["trace_id"] = format_trace_id(span.context.trace_id)
        ids["span_id"] = format_span_id(span.context.span_id)
    if span.parent is not None:
        ids["parent_span_id"] = format_span_id(span.parent.span_id)
    return ids
