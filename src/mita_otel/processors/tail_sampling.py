"""Tail sampling: decides about a trace when it ends. Slow and failed traces are kept, and a fraction of the others."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Final

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.trace import SpanContext, TraceFlags, TraceState

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.latency.limits import RecentDurations
from mita_otel.policy.sampling import SamplingPolicy
from mita_otel.processors.finished_spans import RewrittenSpan, estimated_bytes
from mita_otel.processors.observation import facts_of, has_failed
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.sampling.consistent import MEMBER, member_with
from mita_otel.processors.sampling.decision import Caller, Decision, Flaw, SamplingRules
from mita_otel.processors.sampling.held import EndedSpan, HeldTraces, KeptSpans

_logger = logging.getLogger("mita_otel")

_COOL_DOWN_S: Final = 60.0


class TailSampler(SpanProcessor):
    """Holds the spans of a trace until its local root ends, then passes all of them on or drops all of them.

    It keeps traces with a breach (see `ThresholdProcessor`, which precedes it), a failed span or a recorded exception.
    Policy rules keep a fraction of the traces that they match. Of the others a consistent fraction is kept. The local
    root of a kept trace records the rate (`mita.sampling.rate`) and the reason (`mita.sampling.reason`). If the ratio
    decided, every span has the threshold in its tracestate (`ot=th:…`).

    Args:
        policy: The ratio, the rules and the bounds.
        next_processor: Receives the spans of kept traces.
        recent: Recent durations, for rules with a percentile. None: such rules match no span.
        on_trace_end: Receives all held spans of a kept trace at once. None: the next processor receives each.
        clock: Monotonic seconds.
        step: Called between short pieces of work, so that a background thread can pause; see `Slices.step`.
    """

    def __init__(
        self,
        policy: SamplingPolicy,
        next_processor: SpanProcessor,
        *,
        recent: RecentDurations | None = None,
        on_trace_end: Callable[[Sequence[ReadableSpan]], None] | None = None,
        clock: Callable[[], float] = time.monotonic,
        step: Callable[[], None] = lambda: None,
    ) -> None:
        self.next_processor = next_processor
        self.held: HeldTraces[ReadableSpan] = HeldTraces(policy, step)
        """Held traces, and the counts of kept and dropped traces and spans."""
        self.failures = 0
        """Spans that caused an exception, and were passed on."""
        self._on_trace_end = on_trace_end or self._pass_each
        self._policy = policy
        self._rules = SamplingRules(policy.rules, recent)
        self._clock = clock
        self._step = step
        self._lock = threading.RLock()
        self._draining = False
        self._early_logged = 0
        self._logged_at_s = float("-inf")
        after_fork_in_child(self._reset)

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass the call to the next processor."""
        self.next_processor.on_start(span, parent_context)

    def on_end(self, span: ReadableSpan) -> None:
        """Hold the span, and pass on the spans of decided traces."""
        try:
            kept = self._judge(span)
        except BaseException as error:
            raise_interrupt(error)
            self.failures += 1
            if self.failures == 1:
                _logger.exception(
                    "%s failed on a span; further failures are only counted", type(self).__name__
                )
            self.next_processor.on_end(span)
            return
        self._pass_on(kept)

    def sampled_out(self) -> tuple[int, int]:
        """Return the numbers of traces and spans that were dropped so far."""
        traces = sum(count for (kept, _), count in list(self.held.traces.items()) if not kept)
        return traces, self.held.spans[False]

    def tick(self) -> None:
        """Decide traces that were held too long. Called regularly while no spans arrive."""
        with self._lock:
            kept = self.held.expire(self._clock())
        self._pass_on(kept)

    def drain(self) -> None:
        """Decide every trace at the next flush: the process may be about to end."""
        self._draining = True

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the next processor. Undecided traces are still held, except after `drain`, so that none is split."""
        if self._draining:
            self._draining = False
            with self._lock:
                kept = self.held.drain()
            self._pass_on(kept)
        return self.next_processor.force_flush(timeout_millis)

    def shutdown(self) -> None:
        """Decide everything, and shut the next processor down."""
        with self._lock:
            kept = self.held.close()
        self._pass_on(kept)
        self.next_processor.shutdown()

    def _judge(self, span: ReadableSpan) -> list[KeptSpans[ReadableSpan]]:
        context = span.context
        if context is None:
            return []
        is_root = span.parent is None or span.parent.is_remote
        caller = self._caller(span, context)
        if caller == "against" and self._policy.remote_unsampled == "respect":
            with self._lock:
                return self.held.refuse(self._clock(), is_root=is_root)
        match = None
        if self._rules and (facts := facts_of(span)) is not None:
            match = self._rules.match(facts)
        ended = EndedSpan(
            trace_id=context.trace_id,
            span=span,
            size=estimated_bytes(span),
            is_root=is_root,
            member=context.trace_state.get(MEMBER) if context.trace_state else None,
            flaw=flaw_of(span),
            match=match,
            caller=caller,
        )
        with self._lock:
            kept = self.held.add(ended, self._clock())
            self._log_early_decisions()
        return kept

    def _caller(self, span: ReadableSpan, context: SpanContext) -> Caller:
        if not context.trace_flags.sampled:
            return "against"
        is_called = (
            self._policy.remote_sampled == "keep" and span.parent is not None and span.parent.is_remote
        )
        return "for" if is_called else "undecided"

    def _pass_on(self, kept: Iterable[KeptSpans[ReadableSpan]]) -> None:
        for one in kept:
            self._on_trace_end([marked(span, one.decision) for span in one.spans])

    def _pass_each(self, spans: Sequence[ReadableSpan]) -> None:
        for span in spans:
            self.next_processor.on_end(span)
            self._step()

    def _log_early_decisions(self) -> None:
        early = self.held.early - self._early_logged
        if not early or self._clock() - self._logged_at_s < _COOL_DOWN_S:
            return
        self._early_logged, self._logged_at_s = self.held.early, self._clock()
        _logger.warning(
            "tail sampling has reached a bound (sampling.max_traces, max_spans, max_megabytes): %d traces were decided "
            "by their ratio before they ended; slow or failed spans that end later are still kept",
            early,
        )

    def _reset(self) -> None:
        self._lock = threading.RLock()
        self._draining = False
        self.held.reset()


def flaw_of(span: ReadableSpan) -> Flaw | None:
    """Return the flaw for which the span's trace must be kept, or None."""
    attributes = span.attributes or {}
    if semconv.LATENCY_EXCEEDED in attributes or semconv.REPEATED_QUERIES in attributes:
        return "breach"
    # An issue links to its trace, also if the error was handled and no span failed.
    if semconv.EVENT_ID in attributes or has_failed(span):
        return "error"
    if any(event.name == semconv.EXCEPTION_EVENT for event in span.events):
        return "error"
    return None


def marked(span: ReadableSpan, decision: Decision) -> ReadableSpan:
    """Return the span with the decision: attributes on a local root, the threshold in the tracestate."""
    context = _decided_context(span.context, decision) if span.context is not None else None
    if span.parent is None or span.parent.is_remote:
        marks: dict[str, str | float] = {
            semconv.SAMPLING_RATE: decision.rate,
            semconv.SAMPLING_REASON: decision.reason,
        }
        if decision.rule is not None:
            marks[semconv.SAMPLING_RULE] = decision.rule
        return RewrittenSpan(span, attributes={**(span.attributes or {}), **marks}, context=context)
    return span if context is span.context else RewrittenSpan(span, context=context)


def _decided_context(context: SpanContext, decision: Decision) -> SpanContext:
    """Return the context with the applied threshold, marked as sampled even if the caller did not sample it."""
    state = context.trace_state
    if decision.threshold:
        state = _state_with(state, member_with(state.get(MEMBER), decision.threshold))
    if state is context.trace_state and context.trace_flags.sampled:
        return context
    flags = TraceFlags(context.trace_flags | TraceFlags.SAMPLED)
    return SpanContext(context.trace_id, context.span_id, context.is_remote, flags, state)


def _state_with(state: TraceState, member: str) -> TraceState:
    if state.get(MEMBER) == member:
        return state
    if not state:
        return _single_member_state(member)
    return state.update(MEMBER, member) if MEMBER in state else state.add(MEMBER, member)


@lru_cache(maxsize=64)
def _single_member_state(member: str) -> TraceState:
    """Return a tracestate with this member only. There is one for each ratio."""
    return TraceState([(MEMBER, member)])
