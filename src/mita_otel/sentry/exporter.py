"""The `sentry` exporter: finished spans become transactions, whole and in order, and leave by sentry-sdk's transport."""

from __future__ import annotations

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from sentry_sdk.envelope import Envelope

from mita_otel import environment_variables as variables
from mita_otel.encoding import json_bytes
from mita_otel.policy import environment_name, load_policy
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.fan_out import FanOut
from mita_otel.processors.losses import Losses
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor
from mita_otel.sentry.assembler import Assembler
from mita_otel.sentry.client import SentryLink, start_client
from mita_otel.sentry.issues import Issues
from mita_otel.sentry.sender_identity import identity_of
from mita_otel.sentry.transaction import sample_rate_of, transaction_event
from mita_otel.sentry.transport import STAGE, CountingTransport, SpansItem
from mita_otel.sentry.tree import Tree, is_local_root, key_of, trim

_logger = logging.getLogger("mita_otel")


class SentrySpanExporter(SpanExporter):
    """Sends spans to Sentry.

    Behind `configure()`, or a `RedactionProcessor` put there by hand, spans come redacted. Made without
    arguments (by its name, in somebody else's distribution) it redacts them itself, by the policy that is found.

    Children wait for their local root. A child that ends after its transaction was sent is sent as its own,
    marked (`late_span`), and so is one whose root does not end for `max_wait_s`. Of more than `max_spans`
    children the breached and failed ones, their ancestors and the longest are kept; the transaction says how
    many were left out, and they are counted.

    Args:
        policy: Bounds and switches. None: those of the policy that is found (see `load_policy`).
        link: The client, from `start_client`. None: one by the environment's variables.
        losses: Where lost spans are counted.
        clock: Monotonic seconds.

    Raises:
        ConfigurationError: There is no link, and `SENTRY_DSN` is malformed or missing.
    """

    def __init__(
        self,
        policy: SentryPolicy | None = None,
        link: SentryLink | None = None,
        losses: Losses | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redaction: RedactionProcessor | None = None
        if policy is None or link is None or losses is None:
            found = load_policy()
            policy = policy or found.sentry
            losses = losses or Losses(cool_down_s=found.thresholds.log.cool_down_s)
            if link is None:
                redactor = Redactor(found.redaction)
                self._redaction = RedactionProcessor(redactor, FanOut())
                link = start_client(
                    policy,
                    dsn=os.environ.get(variables.SENTRY_DSN),
                    environment=environment_name(),
                    release=os.environ.get(variables.SENTRY_RELEASE),
                    redactor=redactor,
                    losses=losses,
                )
        self.link = link
        self.issues = Issues(link.client, link.door.occurrences, policy.ignored_errors)
        """Takes log records that are errors."""
        self._policy = policy
        self._losses = losses
        self._identity = identity_of(link.client)
        self._lock = threading.RLock()
        self._ending = False
        self._assembler = Assembler(
            max_waiting=policy.max_waiting_spans,
            max_bytes=policy.max_waiting_megabytes * 1e6,
            max_wait_s=policy.max_wait_s,
            clock=clock,
        )
        if hasattr(os, "register_at_fork"):
            forget = weakref.WeakMethod(self._forget)

            def after_in_child() -> None:
                if (method := forget()) is not None:
                    method()

            os.register_at_fork(after_in_child=after_in_child)

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Take the spans, and queue the transactions that they complete."""
        if self._redaction is not None:
            spans = [span for span in map(self._redaction.processed, spans) if span is not None]
        with self._lock:
            trees: list[Tree] = []
            # Children first: one that ended just after its root is still in time if they come together.
            for span in sorted(spans, key=is_local_root):
                trees.extend(self._assembler.add(span))
            trees.extend(self._assembler.drain() if self._ending else self._assembler.overdue())
            self._send(trees)
        return SpanExportResult.SUCCESS

    def started(self, span: ReadableSpan) -> None:
        """Remember a request that has just begun: an error inside it wants to know. On the request's thread."""
        self.link.door.roots.started(span)

    def tick(self) -> None:
        """Send what has waited too long for its root. Called now and then while there is no work."""
        with self._lock:
            self._send(self._assembler.overdue())

    def let_go(self) -> None:
        """Wait for no root any more: the process is ending."""
        self._ending = True
        if isinstance(self.link.client.transport, CountingTransport):
            self.link.client.transport.ending = True

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send everything that is queued, errors too, at most `timeout_millis`."""
        if self._ending:
            with self._lock:
                self._send(self._assembler.drain())
        self.link.client.flush(timeout=timeout_millis / 1000)
        return True

    def shutdown(self) -> None:
        """End the client if it is ours. Flush first: this does not wait."""
        if not self.link.joined:
            self.link.client.close(timeout=0)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._assembler.clear()

    def _send(self, trees: Sequence[Tree]) -> None:
        for tree in trees:
            if self._policy.capture_errors:
                for span in (tree.root, *tree.children):
                    self.issues.capture_recorded(span)
            try:
                self._send_one(trim(tree, self._policy.max_spans))
            except Exception:
                self._losses.add(STAGE, "not_encodable", 1 + len(tree.children))
                _logger.debug("a transaction could not be sent", exc_info=True)

    def _send_one(self, tree: Tree) -> None:
        transport = self.link.client.transport
        spans = 1 + len(tree.children)
        if transport is None:
            self._losses.add(STAGE, "shut_down", spans)
            return
        breadcrumbs = self.link.door.redacted_breadcrumbs(key_of(tree.root)[0])
        event = transaction_event(tree, self._identity, self._policy.tags, breadcrumbs)
        if self.link.joined and self.link.client.options.get("before_send_transaction"):
            event = self.link.client.options["before_send_transaction"](event, {})
            if event is None:
                self._losses.add(STAGE, "before_send", spans)
                return
        if tree.left_out:
            self._losses.add(STAGE, "too_many_spans", tree.left_out)
        payload = json_bytes(event)
        header = {
            "event_id": event["event_id"],
            "trace": self.link.contexts.of(
                key_of(tree.root)[0], sampled=True, rate=sample_rate_of(tree.root)
            ),
        }
        envelope = Envelope(
            header, [SpansItem(payload, type="transaction", spans=spans, important=tree.matters)]
        )
        if self.link.client.spotlight is not None:
            self.link.client.spotlight.capture_envelope(envelope)
        transport.capture_envelope(envelope)
