"""Protocols that send span trees to Sentry: transactions, streamed spans, or OTLP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Protocol

from opentelemetry.sdk.trace import ReadableSpan
from sentry_sdk.envelope import Envelope

from mita_otel._json import json_bytes
from mita_otel.errors import ConfigurationError, raise_interrupt
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, Losses
from mita_otel.sentry.breadcrumbs import of_events, time_of
from mita_otel.sentry.client import SentryLink
from mita_otel.sentry.mapping.otlp import otlp_encoder, otlp_request, otlp_spans, parts_of
from mita_otel.sentry.mapping.span_tree import Tree, key_of, matters, trim
from mita_otel.sentry.mapping.streamed_spans import SpanSegment, span_items
from mita_otel.sentry.mapping.transaction import sample_rate_of, transaction_event
from mita_otel.sentry.scope_content import with_content
from mita_otel.sentry.transport.envelope_items import SPANS_STAGE, SpansItem

_logger = logging.getLogger("mita_otel")

_MAX_KEPT_SHARE: Final = 0.9
"""Maximum share of the spans that the next attempt keeps if a transaction is too large."""


class TreeSender(Protocol):
    """Sends span trees with one protocol."""

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue the trees. A tree that cannot be encoded is counted as lost; the other trees are still sent."""


Step = Callable[[], None]
"""Lets a background thread pause; see `Slices.step`."""


def make_protocol(
    policy: SentryPolicy, link: SentryLink, losses: Losses, step: Step = lambda: None
) -> TreeSender:
    """Return the protocol that the policy names.

    Args:
        policy: Limits and switches.
        link: The client.
        losses: Counts lost spans.
        step: Called after each tree.

    Raises:
        ConfigurationError: A package that the protocol needs is not installed, or the service's Sentry client has a
            transport that does not support the protocol.
    """
    if policy.protocol == "spans":
        return Spans(policy, link, losses, step)
    if policy.protocol == "otlp":
        return Otlp(policy, link, losses, step)
    return Transactions(policy, link, losses, step)


class Transactions:
    """Sends an envelope with one transaction for each tree. All versions of Sentry, also self-hosted, support it."""

    def __init__(
        self, policy: SentryPolicy, link: SentryLink, losses: Losses, step: Step = lambda: None
    ) -> None:
        self._policy = policy
        self._link = link
        self._losses = losses
        self._step = step

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue a transaction for each tree."""
        for tree in trees:
            with counted(self._losses, 1 + len(tree.children)):
                self._send(tree)
            self._step()

    def _send(self, tree: Tree) -> None:
        trace_id, _ = key_of(tree.root)
        content = self._link.hook.redacted_content(tree.root)
        tree, event, payload = self._fitted(tree, self._breadcrumbs(tree, trace_id), content)
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
        """Return the newest log records and span events of the tree, ordered by time."""
        policy = self._policy.breadcrumbs
        if not policy.enabled:
            return []
        trail = self._link.hook.redacted_breadcrumbs(trace_id)
        for span in (tree.root, *tree.children):
            if span.events:
                trail += of_events(span.events)
        return sorted(trail, key=time_of)[-policy.max_breadcrumbs :]

    def _fitted(
        self, whole: Tree, breadcrumbs: list[Any], content: dict[str, Any]
    ) -> tuple[Tree, dict[str, Any], bytes]:
        """Return the part of the tree that is within the limits for spans and bytes, its transaction, and the JSON."""
        limit = self._policy.max_event_kilobytes * 1000
        most = self._policy.max_spans
        while True:
            tree = trim(whole, most)
            event = transaction_event(tree, self._link.identity, self._policy.tags, breadcrumbs)
            event = with_content(event, content)
            payload = json_bytes(event)
            if len(payload) <= limit or not tree.children:
                return tree, event, payload
            most = int(len(tree.children) * min(_MAX_KEPT_SHARE, limit / len(payload)))


class Spans:
    """Sends an envelope for each item of a trace's spans. Nothing is omitted, even from large traces."""

    def __init__(
        self, policy: SentryPolicy, link: SentryLink, losses: Losses, step: Step = lambda: None
    ) -> None:
        self._policy = policy
        self._link = link
        self._losses = losses
        self._step = step

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue an envelope for each tree, or several if the tree has more than 1,000 spans."""
        for tree in trees:
            with counted(self._losses, 1 + len(tree.children)):
                trace_id, _ = key_of(tree.root)
                trace = self._link.contexts.of(trace_id, sampled=True, rate=sample_rate_of(tree.root))
                content = self._link.hook.redacted_content(tree.root)
                segment = SpanSegment(tree, self._link.identity, self._policy.tags, content)
                for item in span_items(segment):
                    self._link.send(Envelope({"trace": trace}, [item]))
                    self._step()


class Otlp:
    """Sends OTLP requests with the spans of many trees, which costs least. Tags and contexts are root attributes."""

    def __init__(
        self, policy: SentryPolicy, link: SentryLink, losses: Losses, step: Step = lambda: None
    ) -> None:
        if link.own_transport() is None:
            raise ConfigurationError(
                'sentry.protocol = "otlp" needs the transport of mita-otel, but the Sentry client of the service '
                "has another one; remove transport from sentry_sdk.init(), or set sentry.protocol to transactions"
            )
        self._encode = otlp_encoder()
        self._policy = policy
        self._link = link
        self._losses = losses
        self._step = step

    def send(self, trees: Sequence[Tree]) -> None:
        """Queue one request, or several if the spans exceed the size of one request."""
        transport = self._link.own_transport()
        if transport is None:
            self._losses.add(SPANS_STAGE, AFTER_SHUTDOWN, sum(1 + len(tree.children) for tree in trees))
            return
        spans: list[ReadableSpan] = []
        for tree in trees:
            with counted(self._losses, 1 + len(tree.children)):
                content = self._link.hook.redacted_content(tree.root)
                segment = SpanSegment(tree, self._link.identity, self._policy.tags, content)
                spans.extend(otlp_spans(segment))
            self._step()
        for part in parts_of(spans):
            with counted(self._losses, len(part)):
                transport.capture_otlp(
                    otlp_request(self._encode, part),
                    spans=len(part),
                    important=any(matters(span) for span in part),
                )


@contextmanager
def counted(losses: Losses, spans: int) -> Iterator[None]:
    """Count the spans as lost if encoding them fails."""
    try:
        yield
    except BaseException as error:
        raise_interrupt(error)
        losses.add(SPANS_STAGE, "not_encodable", spans)
        _logger.debug("spans could not be sent", exc_info=True)
