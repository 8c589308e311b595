"""How trees of spans travel to Sentry: as transactions, as streamed spans, or over OTLP."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Protocol

from sentry_sdk.envelope import Envelope

from mita_otel.encoding import json_bytes
from mita_otel.errors import ConfigurationError
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.losses import Losses
from mita_otel.sentry.client import SentryLink
from mita_otel.sentry.otlp import otlp_encoder, otlp_request
from mita_otel.sentry.segment import Segment
from mita_otel.sentry.span_items import span_items
from mita_otel.sentry.transaction import sample_rate_of, transaction_event
from mita_otel.sentry.transport import STAGE, CountingTransport, SpansItem
from mita_otel.sentry.tree import Tree, key_of, trim


class TreeSender(Protocol):
    """A way to send trees."""

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue the trees."""


def make_protocol(policy: SentryPolicy, link: SentryLink, losses: Losses) -> TreeSender:
    """Return the protocol that the policy names.

    Raises:
        ConfigurationError: A package that it needs is not installed.
    """
    if policy.protocol == "spans":
        return Spans(policy, link)
    if policy.protocol == "otlp":
        return Otlp(policy, link)
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
            self._send(trim(tree, self._policy.max_spans))

    def _send(self, tree: Tree) -> None:
        trace_id, _ = key_of(tree.root)
        breadcrumbs = self._link.door.redacted_breadcrumbs(trace_id)
        event = transaction_event(tree, self._link.identity, self._policy.tags, breadcrumbs)
        spans = 1 + len(tree.children)
        door = self._link.client.options.get("before_send_transaction") if self._link.joined else None
        if door is not None:
            event = door(event, {})
            if event is None:
                self._losses.add(STAGE, "before_send", spans)
                return
        self._losses.add(STAGE, "too_many_spans", tree.left_out)
        header = {
            "event_id": event["event_id"],
            "trace": self._link.contexts.of(trace_id, sampled=True, rate=sample_rate_of(tree.root)),
        }
        item = SpansItem(json_bytes(event), type="transaction", spans=spans, important=tree.matters)
        self._link.send(Envelope(header, [item]))


class Spans:
    """An envelope with span items for each trace: nothing is left out, however large a trace is."""

    def __init__(self, policy: SentryPolicy, link: SentryLink) -> None:
        self._policy = policy
        self._link = link

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue an envelope for each trace, and more for a trace with more than 1,000 spans."""
        by_trace: OrderedDict[int, list[Tree]] = OrderedDict()
        for tree in trees:
            by_trace.setdefault(key_of(tree.root)[0], []).append(tree)
        for trace_id, siblings in by_trace.items():
            rate = sample_rate_of(siblings[0].root)
            header = {"trace": self._link.contexts.of(trace_id, sampled=True, rate=rate)}
            for tree in siblings:
                for item in span_items(Segment(tree, self._link.identity, self._policy.tags)):
                    self._link.send(Envelope(header, [item]))


class Otlp:
    """A request with all the spans of a batch: the cheapest. Tags and contexts are attributes of each local root."""

    def __init__(self, policy: SentryPolicy, link: SentryLink) -> None:
        if not isinstance(link.client.transport, CountingTransport):
            raise ConfigurationError(
                'sentry.protocol = "otlp" needs a Sentry client of our own, and the host has started one; '
                "leave out its sentry_sdk.init(), or set sentry.protocol to transactions"
            )
        self._encode = otlp_encoder()
        self._policy = policy
        self._link = link

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue one request."""
        transport = self._link.client.transport
        if not trees or not isinstance(transport, CountingTransport):
            return
        segments = [Segment(tree, self._link.identity, self._policy.tags) for tree in trees]
        transport.capture_otlp(
            otlp_request(self._encode, segments),
            spans=sum(len(segment.spans) for segment in segments),
            important=any(tree.matters for tree in trees),
        )
