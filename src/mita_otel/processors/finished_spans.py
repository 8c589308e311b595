"""Copies, sizes and JSON forms of finished spans."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from sys import getsizeof
from typing import Any, Final

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SpanLink
from opentelemetry.trace import SpanContext, Status, format_span_id, format_trace_id


class RewrittenSpan(ReadableSpan):
    """A copy of a finished span, with some of its parts replaced.

    All processors share a finished span, so they never mutate it. The copy keeps the original's counts of what the
    SDK's limits dropped.
    """

    def __init__(
        self,
        original: ReadableSpan,
        *,
        name: str | None = None,
        attributes: Mapping[str, Any] | None = None,
        events: Sequence[Event] | None = None,
        links: Sequence[SpanLink] | None = None,
        status: Status | None = None,
        resource: Resource | None = None,
        scope: InstrumentationScope | None = None,
        context: SpanContext | None = None,
    ) -> None:
        super().__init__(
            name=original.name if name is None else name,
            context=original.context if context is None else context,
            parent=original.parent,
            resource=original.resource if resource is None else resource,
            attributes=original.attributes if attributes is None else attributes,
            events=original.events if events is None else events,
            links=original.links if links is None else links,
            kind=original.kind,
            status=original.status if status is None else status,
            start_time=original.start_time,
            end_time=original.end_time,
            instrumentation_scope=original.instrumentation_scope if scope is None else scope,
        )
        self._counts = (original.dropped_attributes, original.dropped_events, original.dropped_links)

    @property
    def dropped_attributes(self) -> int:
        """Attributes that the SDK's limits dropped from the original."""
        return self._counts[0]

    @property
    def dropped_events(self) -> int:
        """Events that the SDK's limits dropped from the original."""
        return self._counts[1]

    @property
    def dropped_links(self) -> int:
        """Links that the SDK's limits dropped from the original."""
        return self._counts[2]


def with_dict_attributes(span: ReadableSpan) -> ReadableSpan:
    """Return a copy whose attributes are a dict. The SDK's mapping is slow, which matters for repeated reads."""
    return RewrittenSpan(span, attributes=dict(span.attributes or {}))


def span_json(span: ReadableSpan) -> dict[str, Any]:
    """Return the span as a mapping of JSON values.

    Ids are hexadecimal as in W3C Trace Context, times are nanoseconds since the epoch, `duration_ms` is
    milliseconds. `end_ns` is null if the span has no end.
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
    """Return an attribute value converted to JSON types."""
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


_SPAN: Final = 2700
"""Bytes of a span without attributes: its two empty lists of events and links take more than half of them."""
_EVENT: Final = 250
_LINK: Final = 500
"""Bytes of a link, with the context that it points to."""
_ENTRY: Final = 45
"""Bytes of an entry of a mapping. Its name is shared by all spans that have it."""
_NUMBER: Final = 32
_LIST: Final = 56
_MEMBER: Final = 8
"""Bytes of a member of a list, without the value."""
_MAPPING: Final = 230
_SHARED: Final = frozenset({bool, type(None)})
"""Types whose values take no memory."""


def estimated_bytes(span: ReadableSpan) -> int:
    """Return the approximate memory of a span in bytes, without what spans share: names, resource and scope."""
    size = _SPAN + attribute_bytes(span.attributes)
    for event in span.events:
        size += _EVENT + attribute_bytes(event.attributes)
    for link in span.links:
        size += _LINK + attribute_bytes(link.attributes)
    return size


def attribute_bytes(attributes: Mapping[str, Any] | None) -> int:
    """Return the approximate memory of attributes in bytes."""
    if not attributes:
        return 0
    size = _ENTRY * len(attributes)
    for value in attributes.values():
        size += getsizeof(value) if type(value) is str else _value_bytes(value)
    return size


def _value_bytes(value: Any) -> int:
    kind = type(value)
    if kind is str or kind is bytes:
        return getsizeof(value)
    if kind in _SHARED:
        return 0
    if isinstance(value, Mapping):
        return _MAPPING + attribute_bytes(value)
    if isinstance(value, list | tuple):
        return _LIST + _MEMBER * len(value) + sum(map(_value_bytes, value))
    return _NUMBER
