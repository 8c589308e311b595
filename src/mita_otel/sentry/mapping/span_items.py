"""Trees of spans as Sentry's streamed spans: item type `span`, version 2.

Source: Sentry's span protocol. One envelope belongs to one trace, for its header holds the sampling context; an item
has at most 1,000 spans, and there may be any number of items: nothing is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mita_otel._json import json_bytes
from mita_otel.sentry.mapping.description import SpanDescription
from mita_otel.sentry.mapping.plain import ids_of, seconds
from mita_otel.sentry.mapping.segment import Segment
from mita_otel.sentry.mapping.span_data import links_of
from mita_otel.sentry.mapping.tree import matters
from mita_otel.sentry.mapping.typed import typed_attributes
from mita_otel.sentry.transport.envelope_items import SpansItem

MAX_SPANS: Final = 1000
"""Spans of one item."""
_MAX_BYTES: Final = 8_000_000
"""Bytes of one item: Sentry takes 12 MiB (Relay, `max_container_size`)."""
CONTENT_TYPE: Final = "application/vnd.sentry.items.span.v2+json"


def span_items(segment: Segment) -> Iterator[SpansItem]:
    """Yield the items of a segment, breached and failed spans in the first ones."""
    pairs = list(zip(segment.spans, segment.described, strict=True))
    root, rest = pairs[0], sorted(pairs[1:], key=lambda pair: not matters(pair[0]))
    part: list[bytes] = []
    size, important = 0, False
    for span, said in (root, *rest):
        encoded = json_bytes(_span(segment, span, said, is_segment=span is root[0]))
        if part and (len(part) == MAX_SPANS or size + len(encoded) > _MAX_BYTES):
            yield _item(part, important=important)
            part, size, important = [], 0, False
        part.append(encoded)
        size += len(encoded)
        important = important or matters(span)
    yield _item(part, important=important)


def _item(spans: list[bytes], *, important: bool) -> SpansItem:
    return SpansItem(
        b'{"version":2,"items":[' + b",".join(spans) + b"]}",
        type="span",
        spans=len(spans),
        important=important,
        headers={"item_count": len(spans)},
        content_type=CONTENT_TYPE,
    )


def _span(segment: Segment, span: ReadableSpan, said: SpanDescription, *, is_segment: bool) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **ids_of(span),
        "name": said.description,
        "status": "error" if _failed(span, said) else "ok",
        "is_segment": is_segment,
        "start_timestamp": seconds(span.start_time),
        "end_timestamp": seconds(span.end_time),
        "attributes": typed_attributes(
            {
                **(segment.resource() if is_segment else {}),
                **segment.attributes(span, said),
                **segment.sender,
                "sentry.kind": span.kind.name.lower(),
                "otel.status_description": span.status.description,
            }
        ),
    }
    links = links_of(span)
    if links:
        shown["links"] = [
            {**link, **({"attributes": typed_attributes(link["attributes"])} if "attributes" in link else {})}
            for link in links
        ]
    return shown


def _failed(span: ReadableSpan, said: SpanDescription) -> bool:
    return span.status.status_code is StatusCode.ERROR or said.status not in {"ok", "cancelled"}
