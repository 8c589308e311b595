"""What a span says where no transaction says it for it: its segment, tags, contexts and sender, as attributes."""

from __future__ import annotations

from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import format_span_id

from mita_otel.sentry.contexts import financial_contexts
from mita_otel.sentry.description import SpanDescription, describe
from mita_otel.sentry.plain import plain
from mita_otel.sentry.sender_identity import Identity
from mita_otel.sentry.span_data import attributes_of, origin_of
from mita_otel.sentry.tags import transaction_tags
from mita_otel.sentry.transaction import measurements, sample_rate_of
from mita_otel.sentry.tree import Tree, key_of

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
        self._root = tree.root
        self._orphan = tree.orphan
        self._identity = identity
        self._tags = tags

    def attributes(self, span: ReadableSpan, said: SpanDescription) -> Attributes:
        """Return a span's attributes with Sentry's own; the root's hold the tags, contexts and measurements too."""
        attributes: Attributes = {
            **attributes_of(span),
            "sentry.op": said.op,
            "sentry.origin": origin_of(span),
            "sentry.status": said.status,
            "sentry.segment.id": format_span_id(key_of(self._root)[1]),
            "sentry.segment.name": self.described[0].description,
            "sentry.environment": self._identity.environment,
            "sentry.release": self._identity.release,
            "sentry.dist": self._identity.dist,
            "sentry.sdk.name": (self._identity.sdk or {}).get("name"),
            "sentry.sdk.version": (self._identity.sdk or {}).get("version"),
            "sentry.platform": "python",
            "otel.status_description": span.status.description,
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
        if span is self._root:
            attributes.update(self._of_root())
        return attributes

    def _of_root(self) -> Attributes:
        tags = transaction_tags(self.spans, late=self._orphan, allowed=self._tags)
        contexts = financial_contexts([span.attributes or {} for span in self.spans])
        return {
            "sentry.source": self.described[0].source,
            "sentry.segment.name.source": self.described[0].source,
            "sentry.client_sample_rate": sample_rate_of(self._root),
            "server.address": self._identity.server_name,
            **{
                f"{name}.{key}": value
                for name, context in contexts.items()
                for key, value in context.items()
                if key != "type"
            },
            **{name: one["value"] for name, one in measurements(self.spans, self.described).items()},
            **{name: plain(value) for name, value in self._root.resource.attributes.items()},
            **tags,
        }
