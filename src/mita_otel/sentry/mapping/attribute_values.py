"""Converts OpenTelemetry's attribute values to JSON values and to Sentry's typed attributes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id

from mita_otel._json import json_bytes


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


_LARGEST: Final = 2**63 - 1


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
