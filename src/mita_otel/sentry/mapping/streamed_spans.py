"""Encodes span trees as Sentry's streamed spans: item type `span`, version 2.

Source: Sentry's span protocol. The header of an envelope contains the sampling context, so one envelope belongs to one
trace. An item has at most 1,000 spans. A trace may have any number of items, so no span is omitted.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id

from mita_otel import semconv
from mita_otel._json import json_bytes
from mita_otel.sentry.mapping.attribute_values import (
    attributes_of,
    ids_of,
    json_value,
    links_of,
    origin_of,
    seconds,
    typed_attributes,
)
from mita_otel.sentry.mapping.contexts import financial_contexts
from mita_otel.sentry.mapping.description import SpanDescription, describe
from mita_otel.sentry.mapping.span_tree import Tree, key_of, matters
from mita_otel.sentry.mapping.tags import transaction_tags
from mita_otel.sentry.mapping.transaction import measurements, sample_rate_of
from mita_otel.sentry.mapping.transaction_name import transaction_name
from mita_otel.sentry.scope_content import attributes_of_content
from mita_otel.sentry.transport.envelope_items import SpansItem
from mita_otel.sentry.transport.sender_identity import Identity

Attributes = dict[str, Any]


class SpanSegment:
    """A span tree with the attributes that its spans share.

    Args:
        tree: The redacted spans, with their latency attributes.
        identity: Environment, release, host and SDK of the sender.
        tags: Names of mita-otel's tags that the policy allows.
        content: What the service has said of the request through sentry-sdk, redacted.
    """

    def __init__(
        self, tree: Tree, identity: Identity, tags: tuple[str, ...], content: Mapping[str, Any] | None = None
    ) -> None:
        self.spans = [tree.root, *tree.children]
        self.described = [describe(span) for span in self.spans]
        self.root = tree.root
        self.name, self._source = transaction_name(tree.root, self.described[0])
        self._content = dict(content or {})
        if "transaction" in self._content:
            self.name = str(self._content["transaction"])
            self._source = str(self._content["transaction_info"]["source"])
        """The segment's bounded name."""
        self.sender: Attributes = {
            "sentry.sdk.name": (identity.sdk or {}).get("name"),
            "sentry.sdk.version": (identity.sdk or {}).get("version"),
            "sentry.platform": "python",
        }
        """Attributes of the SDK that created the spans."""
        self._common: Attributes = {
            "sentry.segment.id": format_span_id(key_of(tree.root)[1]),
            "sentry.segment.name": self.name,
            "sentry.environment": identity.environment,
            "sentry.release": identity.release,
            "sentry.dist": identity.dist,
        }
        self._orphan = tree.orphan
        self._server_name = identity.server_name
        self._tags = tags

    def attributes(self, span: ReadableSpan, described: SpanDescription) -> Attributes:
        """Return a span's attributes with Sentry's. The root also has the tags, contexts and measurements."""
        attributes: Attributes = {
            **attributes_of(span),
            **self._common,
            "sentry.op": described.op,
            "sentry.origin": origin_of(span),
            "sentry.status": described.status,
        }
        status_code = semconv.first(span.attributes or {}, semconv.HTTP_STATUS_CODE)
        if status_code is not None:
            attributes["sentry.status_code"] = str(status_code)  # `http_response_rate()` reads it
        if span.events:
            attributes["otel.events"] = [
                {
                    "name": event.name,
                    "timestamp": event.timestamp,
                    "attributes": json_value(event.attributes or {}),
                }
                for event in span.events
            ]
        if span is self.root:
            attributes = {**attributes_of_content(self._content), **attributes, **self._of_root()}
            if self._server_name:
                attributes.setdefault("server.address", self._server_name)
        return attributes

    def resource(self) -> Attributes:
        """Return the resource attributes, for a protocol that has no separate field for them."""
        return {name: json_value(value) for name, value in self.root.resource.attributes.items()}

    def _of_root(self) -> Attributes:
        tags = transaction_tags(self.spans, late=self._orphan, allowed=self._tags)
        contexts = financial_contexts([span.attributes or {} for span in self.spans])
        return {
            "sentry.source": self._source,
            "sentry.segment.name.source": self._source,
            "sentry.client_sample_rate": sample_rate_of(self.root),
            **{
                f"{name}.{key}": value
                for name, context in contexts.items()
                for key, value in context.items()
                if key != "type"
            },
            **{name: one["value"] for name, one in measurements(self.spans, self.described).items()},
            **tags,
        }


MAX_SPANS: Final = 1000
"""Maximum number of spans in one item."""
_MAX_BYTES: Final = 8_000_000
"""Maximum bytes of one item. Sentry accepts 12 MiB (Relay, `max_container_size`)."""
CONTENT_TYPE: Final = "application/vnd.sentry.items.span.v2+json"


def span_items(segment: SpanSegment) -> Iterator[SpansItem]:
    """Yield the items of a segment. Breached and failed spans are in the first items."""
    pairs = list(zip(segment.spans, segment.described, strict=True))
    root, rest = pairs[0], sorted(pairs[1:], key=lambda pair: not matters(pair[0]))
    part: list[bytes] = []
    size, important = 0, False
    for span, described in (root, *rest):
        encoded = json_bytes(_span(segment, span, described, is_segment=span is root[0]))
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


def _span(
    segment: SpanSegment, span: ReadableSpan, described: SpanDescription, *, is_segment: bool
) -> dict[str, Any]:
    shown: dict[str, Any] = {
        **ids_of(span),
        "name": segment.name if is_segment else described.description,
        "status": "error" if _failed(span, described) else "ok",
        "is_segment": is_segment,
        "start_timestamp": seconds(span.start_time),
        "end_timestamp": seconds(span.end_time),
        "attributes": typed_attributes(
            {
                **(segment.resource() if is_segment else {}),
                **segment.attributes(span, described),
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


def _failed(span: ReadableSpan, described: SpanDescription) -> bool:
    return span.status.status_code is StatusCode.ERROR or described.status not in {"ok", "cancelled"}
