"""A finished span is shared by all processors and never mutated: whoever changes one passes on a copy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link as SpanLink
from opentelemetry.trace import SpanContext, Status


class RewrittenSpan(ReadableSpan):
    """A copy of a finished span, with some of its parts replaced.

    The counts of what the SDK's limits dropped are those of the original: the copy is not the place
    where anything was lost.
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


def with_plain_attributes(span: ReadableSpan) -> ReadableSpan:
    """Return a copy whose attributes are a plain mapping: the SDK's is slow, which tells where each is read many times."""
    return RewrittenSpan(span, attributes=dict(span.attributes or {}))
