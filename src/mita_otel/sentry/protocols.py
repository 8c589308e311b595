"""How trees of spans travel to Sentry: as transactions, as streamed spans, or over OTLP."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from opentelemetry.sdk.trace import ReadableSpan
from sentry_sdk.envelope import Envelope

from mita_otel._json import json_bytes
from mita_otel.errors import ConfigurationError
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, Losses
from mita_otel.sentry.breadcrumbs import of_events, time_of
from mita_otel.sentry.client import SentryLink
from mita_otel.sentry.mapping.otlp import otlp_encoder, otlp_request, otlp_spans, parts_of
from mita_otel.sentry.mapping.span_tree import Tree, key_of, matters, trim
from mita_otel.sentry.mapping.streamed_spans import SpanSegment, span_items
from mita_otel.sentry.mapping.transaction import sample_rate_of, transaction_event
from mita_otel.sentry.transport.envelope_items import SPANS_STAGE, SpansItem

_logger = logging.getLogger("mita_otel")

_SHRINK: Final = 0.9
"""By how much a transaction is made smaller at least, if it is too large."""


class TreeSender(Protocol):
    """A way to send trees."""

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue the trees. One that cannot be encoded is counted, and disturbs no other."""


def make_protocol(policy: SentryPolicy, link: SentryLink, losses: Losses) -> TreeSender:
    """Return the protocol that the policy names.

    Raises:
        ConfigurationError: A package that it needs is not installed.
    """
    if policy.protocol == "spans":
        return Spans(policy, link, losses)
    if policy.protocol == "otlp":
        return Otlp(policy, link, losses)
    return Transactions(policy, link, losses)


class Transactions:
    """An envelope with a transaction for each tree: every Sentry and every self-hosted one knows it."""

    def __init__(self, policy: SentryPolicy, link: SentryLink, losses: Losses) -> None:
        self._policy = policy
        self._link = link
        self._losses = losses

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue a transaction for each tree."""
        for tree in trees:
            with counted(self._losses, 1 + len(tree.children)):
                self._send(tree)

    def _send(self, tree: Tree) -> None:
        trace_id, _ = key_of(tree.root)
        tree, event, payload = self._fitted(tree, self._breadcrumbs(tree, trace_id))
        hook = self._link.service_clients.transaction_hook if self._link.service_clients is not None else None
        if hook is not None:
            event = hook(event, {})
            if event is None:
                self._losses.add(SPANS_STAGE, "before_send", 1 + len(tree.children) + tree.left_out)
                return
            payload = json_bytes(event)
        self._losses.add(SPANS_STAGE, "too_many_spans", tree.left_out)
        header = {
            "event_id": event["event_id"],
            "trace": self._link.contexts.of(trace_id, sampled=True, rate=sample_rate_of(tree.root)),
        }
        item = SpansItem(payload, type="transaction", spans=1 + len(tree.children), important=tree.matters)
        self._link.send(Envelope(header, [item]))

    def _breadcrumbs(self, tree: Tree, trace_id: int) -> list[Any]:
        """Return the newest log records and span events of the tree, in their order."""
        policy = self._policy.breadcrumbs
        if not policy.enabled:
            return []
        trail = self._link.hook.redacted_breadcrumbs(trace_id)
        for span in (tree.root, *tree.children):
            if span.events:
                trail += of_events(span.events)
        return sorted(trail, key=time_of)[-policy.max_breadcrumbs :]

    def _fitted(self, whole: Tree, breadcrumbs: list[Any]) -> tuple[Tree, dict[str, Any], bytes]:
        """Return as much of the tree as fits into one transaction, by number and by size, and that transaction."""
        limit = self._policy.max_event_kilobytes * 1000
        most = self._policy.max_spans
        while True:
            tree = trim(whole, most)
            event = transaction_event(tree, self._link.identity, self._policy.tags, breadcrumbs)
            payload = json_bytes(event)
            if len(payload) <= limit or not tree.children:
                return tree, event, payload
            most = int(len(tree.children) * min(_SHRINK, limit / len(payload)))


class Spans:
    """An envelope for each item of a trace's spans: nothing is left out, however large a trace is."""

    def __init__(self, policy: SentryPolicy, link: SentryLink, losses: Losses) -> None:
        self._policy = policy
        self._link = link
        self._losses = losses

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue an envelope for each tree, and more for one with more than 1,000 spans."""
        for tree in trees:
            with counted(self._losses, 1 + len(tree.children)):
                trace_id, _ = key_of(tree.root)
                trace = self._link.contexts.of(trace_id, sampled=True, rate=sample_rate_of(tree.root))
                for item in span_items(SpanSegment(tree, self._link.identity, self._policy.tags)):
                    self._link.send(Envelope({"trace": trace}, [item]))


class Otlp:
    """Requests with the spans of many trees: the cheapest. Tags and contexts are attributes of each local root."""

    def __init__(self, policy: SentryPolicy, link: SentryLink, losses: Losses) -> None:
        if link.own_transport() is None:
            raise ConfigurationError(
                'sentry.protocol = "otlp" needs a transport of our own, and the Sentry client of the service brings '
                "another; leave that out, or set sentry.protocol to transactions"
            )
        self._encode = otlp_encoder()
        self._policy = policy
        self._link = link
        self._losses = losses

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue a request, or more if there is much."""
        transport = self._link.own_transport()
        if transport is None:
            self._losses.add(SPANS_STAGE, AFTER_SHUTDOWN, sum(1 + len(tree.children) for tree in trees))
            return
        spans: list[ReadableSpan] = []
        for tree in trees:
            with counted(self._losses, 1 + len(tree.children)):
                spans.extend(otlp_spans(SpanSegment(tree, self._link.identity, self._policy.tags)))
        for part in parts_of(spans):
            with counted(self._losses, len(part)):
                transport.capture_otlp(
                    otlp_request(self._encode, part),
                    spans=len(part),
                    important=any(matters(span) for span in part),
                )


@contextmanager
def counted(losses: Losses, spans: int) -> Iterator[None]:
    """Count the spans as lost if something in them cannot be encoded."""
    try:
        yield
    except Exception:
        losses.add(SPANS_STAGE, "not_encodable", spans)
        _logger.debug("spans could not be sent", exc_info=True)
