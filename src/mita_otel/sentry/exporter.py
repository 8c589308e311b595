"""The `sentry` exporter: sends finished spans to Sentry as transactions, streamed spans or OTLP."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Sequence

from opentelemetry.sdk.trace import ReadableSpan, Span
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel import environment_variables as variables
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy import environment_name, load_policy
from mita_otel.policy.sentry import SentryPolicy
from mita_otel.processors.finished_spans import with_dict_attributes
from mita_otel.processors.queues.export_queue import FanOut
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Deliveries, ExporterHooks, deadline_in
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.redaction import Redactor
from mita_otel.sentry.client import SentryLink, start_client
from mita_otel.sentry.issues import Issues
from mita_otel.sentry.mapping.span_tree import Assembler, Tree, is_local_root
from mita_otel.sentry.protocols import make_protocol
from mita_otel.sentry.request_scope import enter_root, leave_root
from mita_otel.sentry.sessions import Sessions
from mita_otel.sentry.transport.loss_reports import LossReports


class SentrySpanExporter(SpanExporter, ExporterHooks):
    """Sends spans to Sentry.

    `configure()` and `RedactionProcessor` pass redacted spans. An exporter without arguments, which other
    OpenTelemetry distributions create by name, redacts the spans itself with the discovered policy.

    Child spans wait for their local root. A child that ends after its root was sent is sent separately, with the tag
    `late_span`. The same applies to a child whose root does not end within `max_wait_s`. If a transaction has more
    than `max_spans` children, it keeps breached and failed spans, their ancestors, and the longest spans. The
    transaction contains the number of the other spans, which are counted as lost.

    Args:
        policy: Limits and switches. None: the discovered policy (see `load_policy`).
        link: The client, from `start_client`, a stage that the caller drains and closes. None: a client configured by
            environment variables, which the exporter drains and closes.
        losses: Counts lost spans.
        clock: Monotonic seconds.
        step: Called after each span and tree, so that the exporter's thread can pause; see `Slices.step`.

    Raises:
        ConfigurationError: There is no link, and `SENTRY_DSN` is malformed or missing; or a package that the
            policy's protocol needs is not installed.
    """

    takes_turns = True

    def __init__(
        self,
        policy: SentryPolicy | None = None,
        link: SentryLink | None = None,
        losses: Losses | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self._owns_link = link is None
        self._redacts = False
        self._patches = Patches()
        if policy is None or link is None or losses is None:
            found = load_policy()
            policy = policy or found.sentry
            losses = losses or Losses(cool_down_s=found.thresholds.log.cool_down_s)
            if link is None:
                self._redacts = True
                redactor = Redactor(found.redaction)
                link = start_client(
                    policy,
                    dsn=os.environ.get(variables.SENTRY_DSN),
                    environment=environment_name(),
                    release=os.environ.get(variables.SENTRY_RELEASE),
                    redactor=redactor,
                    losses=losses,
                    patches=self._patches,
                    debug=variables.is_true(os.environ.get(variables.SENTRY_DEBUG)),
                )
        self.link = link
        self._redaction = RedactionProcessor(link.hook.redactor, FanOut())
        self.issues = Issues(link.issue_client, link.hook.captured, policy.ignored_errors)
        """Sends errors as issues, from log records and from exceptions on spans."""
        self._policy = policy
        self._losses = losses
        self._sender = make_protocol(policy, link, losses, step)
        self._step = step
        self.sessions = (
            Sessions(lambda: link.identity, link.hook.captured, link.send, clock=time.time_ns)
            if policy.sessions
            else None
        )
        """Counts requests for release health. None: the policy disables it."""
        self._unknown = Deliveries()
        self._lock = threading.RLock()
        self._ending = False
        self._reports = LossReports(losses, link.own_transport)
        self._assembler = Assembler(
            max_waiting=policy.max_waiting_spans,
            max_bytes=policy.max_waiting_megabytes * 1e6,
            max_wait_s=policy.max_wait_s,
            clock=clock,
        )
        after_fork_in_child(self._forget)

    @property
    def deliveries(self) -> Deliveries:
        """The outcome of the last requests to Sentry, of any kind."""
        transport = self.link.own_transport()
        return self._unknown if transport is None else transport.deliveries

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Add the spans, and queue each tree that they complete."""
        if self._redacts:
            spans = [span for span in map(self._redaction.processed, spans) if span is not None]
        with self._lock:
            trees: list[Tree] = []
            # Children first: a child that ended just after its root still belongs to the tree if both are in one batch.
            for span in sorted(spans, key=is_local_root):
                trees.extend(self._assembler.add(with_dict_attributes(span)))
                self._step()
            trees.extend(self._assembler.overdue())
            self._send(trees)
        self._tick()
        return SpanExportResult.SUCCESS

    def on_span_start(self, span: Span) -> None:
        """Remember a request that starts, so that its errors can refer to it."""
        self.link.hook.roots.started(span)
        enter_root(span, self.link.hook.scopes)

    def on_span_end(self, span: ReadableSpan) -> None:
        """Release the state of a request or task that ends."""
        hook = self.link.hook
        hook.roots.ended(span)
        if hook.steps is not None:
            hook.steps.ended(span)
        leave_root(span)

    def tick(self) -> None:
        """Send spans that have waited too long for their root. The pipeline calls this regularly while it is idle."""
        with self._lock:
            self._send(self._assembler.overdue())
        self._tick()

    def watch_sampling(self, sampled_out: Callable[[], tuple[int, int]]) -> None:
        """Report unsampled traces and spans to Sentry. The callable returns how many there are so far."""
        self._reports.watch_sampling(sampled_out)

    def drain(self) -> None:
        """Stop waiting for roots: the next `force_flush` sends everything."""
        self._ending = True
        if self._owns_link:
            self.link.drain()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send everything that is queued, including errors, within `timeout_millis`."""
        if self._ending:
            with self._lock:
                self._send(self._assembler.drain())
            if self.sessions is not None:
                self.sessions.flush()
            self._reports.report_sampling()
        return self.link.flush(deadline_in(timeout_millis))

    def abandon(self) -> None:
        """Count unsent items as lost, because the deadline has passed."""
        with self._lock:
            self._send(self._assembler.drain())  # so that these spans are counted as well
        if self._owns_link:
            self.link.abandon()

    def shutdown(self) -> None:
        """Close the client that this exporter has started. This does not wait, so flush first."""
        if self._owns_link:
            self._patches.revert()
            self.link.close()

    def _tick(self) -> None:
        self._reports.report_sampling()
        if self.sessions is not None:
            self.sessions.tick()

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._assembler.clear()
        if self.sessions is not None:
            self.sessions.clear()

    def _send(self, trees: Sequence[Tree]) -> None:
        for tree in trees:
            self._redact_again(tree)
        if self._policy.capture_errors:
            for tree in trees:
                self.issues.capture_recorded((tree.root, *tree.children))
        self._sender.send(trees)

    def _redact_again(self, tree: Tree) -> None:
        """Redact what a span that ended later has shown to be secret in the spans that waited for it."""
        again = self._redaction.again
        tree.root = again(tree.root) or tree.root
        tree.children = [again(child) or child for child in tree.children]
