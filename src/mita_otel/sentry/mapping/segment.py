"""What a span says where no transaction says it for it: its segment, tags, contexts and sender, as attributes."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id

from mita_otel.sentry.mapping.contexts import financial_contexts
from mita_otel.sentry.mapping.description import SpanDescription, describe
from mita_otel.sentry.mapping.plain import plain
from mita_otel.sentry.mapping.span_data import attributes_of, origin_of
from mita_otel.sentry.mapping.tags import transaction_tags
from mita_otel.sentry.mapping.transaction import measurements, sample_rate_of
from mita_otel.sentry.mapping.tree import Tree, key_of
from mita_otel.sentry.transport.sender_identity import Identity

Attributes = dict[str, Any]


class Segment:
    """A tree, and what each of its spans needs to know of it.

    Args:
        tree: The spans, marked and redacted.
        identity: Environment, release and so on.
        tags: Names of our tags that the policy lets through.
    """

    def __init__(self, tree: Tree, identity: Identity, tags: tuple[str, ...]) -> None:
        self.spans = [tree.root, *tree.children]
        self.described = [describe(span) for span in self.spans]
        self.root = tree.root
        self.sender: Attributes = {
            "sentry.sdk.name": (identity.sdk or {}).get("name"),
            "sentry.sdk.version": (identity.sdk or {}).get("version"),
            "sentry.platform": "python",
        }
        """What made the spans."""
        self._common: Attributes = {
            "sentry.segment.id": format_span_id(key_of(tree.root)[1]),
            "sentry.segment.name": self.described[0].description,
            "sentry.environment": identity.environment,
            "sentry.release": identity.release,
            "sentry.dist": identity.dist,
        }
        self._orphan = tree.orphan
        self._server_name = identity.server_name
        self._tags = tags

    def attributes(self, span: ReadableSpan, said: SpanDescription) -> Attributes:
        """Return a span's attributes with Sentry's own; the root's hold the tags, contexts and measurements too."""
        attributes: Attributes = {
            **attributes_of(span),
            **self._common,
            "sentry.op": said.op,
            "sentry.origin": origin_of(span),
            "sentry.status": said.status,
        }
        if span.events:
            attributes["otel.events"] = [
                {
                    "name": event.name,
                    "timestamp": event.timestamp,
                    "attributes": plain(event.attributes or {}),
                }
                for event in span.events
            ]
        if span is self.root:
            attributes.update(self._of_root())
            if self._server_name:
                attributes.setdefault("server.address", self._server_name)
        return attributes

    def resource(self) -> Attributes:
        """Return the attributes of what made the spans, for a protocol that has no place of its own for them."""
        return {name: plain(value) for name, value in self.root.resource.attributes.items()}

    def _of_root(self) -> Attributes:
        tags = transaction_tags(self.spans, late=self._orphan, allowed=self._tags)
        contexts = financial_contexts([span.attributes or {} for span in self.spans])
        return {
            "sentry.source": self.described[0].source,
            "sentry.segment.name.source": self.described[0].source,
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
