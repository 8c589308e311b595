"""Judges each span against its limit; a breach leaves a mark, a count and a log line."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor
from opentelemetry.trace import NonRecordingSpan, format_trace_id

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach, LimitBook
from mita_otel.policy.thresholds import ThresholdPolicy
from mita_otel.processors.link import Link
from mita_otel.processors.rewrite import RewrittenSpan

_logger = logging.getLogger("mita_otel.latency")

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"})
"""RFC 9110's methods, and PATCH (RFC 5789)."""


class ThresholdProcessor(Link):
    """Marks the spans that took longer than their limit.

    A breach passes on a copy of the span with the `mita.latency.*` attributes and an event, adds one to the
    counter `mita.latency.breaches` (by kind and rule), and logs a line. Any other span passes as it is.

    Args:
        policy: The limits.
        next_processor: What comes next.
        meter: Makes the counter. None: one of the global provider.
        clock: Monotonic seconds, for the log line's cool-down.
    """

    def __init__(
        self,
        policy: ThresholdPolicy,
        next_processor: SpanProcessor,
        *,
        meter: metrics.Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(next_processor)
        self._book = LimitBook(policy)
        self._log = BreachLog(policy.log.cool_down_s, clock)
        self._counter = (meter or metrics.get_meter("mita_otel")).create_counter(
            semconv.LATENCY_COUNTER, unit="{breach}", description="Spans that took longer than their limit"
        )

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, marked if it broke its limit."""
        if span.start_time is None or span.end_time is None:
            return span
        facts = SpanFacts(
            span.name, span.kind.name, (span.end_time - span.start_time) / 1e6, span.attributes or {}
        )
        breach = self._book.judge(facts)
        if breach is None:
            return span
        self._count(span, breach)
        self._log.say(breach, facts, format_trace_id(span.context.trace_id) if span.context else "")
        return _marked(span, breach)

    def _count(self, span: ReadableSpan, breach: Breach) -> None:
        # In the span's context, so that an exemplar leads from the number to the trace.
        context = trace.set_span_in_context(NonRecordingSpan(span.context)) if span.context else None
        self._counter.add(1, {"kind": breach.kind, "rule": breach.rule}, context)


def _marked(span: ReadableSpan, breach: Breach) -> ReadableSpan:
    marks = {
        semconv.LATENCY_EXCEEDED: True,
        semconv.LATENCY_KIND: breach.kind,
        semconv.LATENCY_RULE: breach.rule,
        semconv.LATENCY_LIMIT_MS: breach.limit_ms,
        semconv.LATENCY_DURATION_MS: round(breach.duration_ms, 3),
        semconv.LATENCY_OVERRUN_MS: round(breach.overrun_ms, 3),
    }
    event = Event(semconv.LATENCY_EVENT, marks, span.end_time)
    return RewrittenSpan(span, attributes={**(span.attributes or {}), **marks}, events=(*span.events, event))


@dataclass(slots=True)
class _Said:
    at_s: float
    unsaid: int = 0


class BreachLog:
    """One log line a rule in a while; the next one says how many there were in between.

    Nothing that varies or could be a secret is logged: no path, no statement, only names of the policy,
    route templates and the trace's id.

    Args:
        cool_down_s: Seconds of silence after a line, by rule.
        clock: Monotonic seconds.
    """

    def __init__(self, cool_down_s: float, clock: Callable[[], float]) -> None:
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._lock = threading.Lock()
        # One entry a rule of the policy: the policy bounds it.
        self._said: dict[str, _Said] = {}

    def say(self, breach: Breach, facts: SpanFacts, trace_id: str) -> None:
        """Log the breach, unless its rule was logged a short while ago."""
        with self._lock:
            now = self._clock()
            said = self._said.get(breach.rule)
            if said is not None and now - said.at_s < self._cool_down_s:
                said.unsaid += 1
                return
            unsaid = said.unsaid if said else 0
            self._said[breach.rule] = _Said(now)
        _logger.warning(
            "%s took %.0f ms, limit %g ms (rule %s, trace %s)%s",
            _what(breach, facts),
            breach.duration_ms,
            breach.limit_ms,
            breach.rule,
            trace_id,
            f"; {unsaid} more since the last line" if unsaid else "",
        )


def _what(breach: Breach, facts: SpanFacts) -> str:
    if breach.kind == "api":
        # The method comes from the wire: nothing says that it is one.
        method = facts.method if facts.method in _METHODS else "_OTHER"
        return f"{method} {facts.route or '(no route)'}"
    if breach.kind == "database":
        return f"database {facts.verb}"
    # An operation that has a rule is named in the policy; any other name is the application's and may hold anything.
    name = breach.rule.rpartition(".")[2]
    return f"{breach.kind} operation" if name == "default" else f"{breach.kind} operation {name}"
