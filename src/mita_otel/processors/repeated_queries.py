"""Marks spans under which the same statement ran too often: N+1 queries."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from opentelemetry import metrics
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.operations import OperationNames, operation_of
from mita_otel.latency.repeats import RepeatCounter, Repeats
from mita_otel.policy.thresholds import ThresholdPolicy
from mita_otel.processors.breaches import Breaches
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.link import Link
from mita_otel.processors.observation import facts_of
from mita_otel.processors.queues.forks import after_fork_in_child


class RepeatedQueriesProcessor(Link):
    """Counts equal statements by parent span, and marks a parent that has too many.

    A parent ends after its statements. It is passed on as a copy with the attributes `mita.repeated_queries.*` and an
    event. The breach is counted and logged under the rule `repeated_queries.max_repeats`.

    Args:
        policy: The limits.
        next_processor: Receives the spans.
        meter: Creates the counter. None: a meter of the global provider.
        clock: Monotonic seconds, for the cool-down of log lines.
        names: Redacts and bounds names for listeners. None: names are unchanged.
        breaches: Counts and logs breaches, and notifies listeners. None: counts with `meter`, and logs.
    """

    def __init__(
        self,
        policy: ThresholdPolicy,
        next_processor: SpanProcessor,
        *,
        meter: metrics.Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
        names: OperationNames | None = None,
        breaches: Breaches | None = None,
    ) -> None:
        super().__init__(next_processor)
        limit = policy.repeated_queries.max_repeats
        self._max_repeats = None if limit == "off" or not policy.enabled else limit
        self._counter = RepeatCounter(policy.repeated_queries.max_parents)
        self._names = names
        self._breaches = breaches or Breaches(policy.log, meter=meter, clock=clock)
        self._lock = threading.Lock()
        after_fork_in_child(self._reset)

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, marked if one statement ran too often under it."""
        if self._max_repeats is None or span.context is None:
            return span
        attributes = span.attributes or {}
        statement = semconv.first(attributes, semconv.DB_STATEMENT)
        with self._lock:
            if statement is not None and span.parent is not None and span.start_time and span.end_time:
                duration_ms = max(0.0, (span.end_time - span.start_time) / 1e6)
                scope = span.instrumentation_scope
                layer = scope.name if scope is not None else ""
                self._counter.add(span.parent.span_id, str(statement), duration_ms, layer)
            repeats = self._counter.take(span.context.span_id)
        if repeats is None or repeats.count <= self._max_repeats:
            return span
        return self._marked(span, repeats, self._max_repeats)

    def _marked(self, span: ReadableSpan, repeats: Repeats, limit: int) -> ReadableSpan:
        facts = facts_of(span) or SpanFacts(span.name, span.kind.name, 0.0, span.attributes or {})
        operation = operation_of(facts)
        if operation is not None and self._names is not None:
            operation = self._names.shown(operation)
        name = operation.name if operation is not None else "(span)"
        self._breaches.repeated(repeats.count, limit, span, facts, name)
        marks: dict[str, str | int | float] = {
            semconv.REPEATED_QUERIES: repeats.count,
            semconv.REPEATED_QUERIES_MAX: limit,
            semconv.REPEATED_QUERIES_STATEMENT: repeats.statement,
            semconv.REPEATED_QUERIES_MS: round(repeats.total_ms, 3),
        }
        event = Event(
            semconv.LATENCY_EVENT,
            {semconv.LATENCY_KIND: "database", semconv.LATENCY_RULE: semconv.REPEATED_QUERIES_RULE, **marks},
            span.end_time,
        )
        return RewrittenSpan(
            span, attributes={**(span.attributes or {}), **marks}, events=(*span.events, event)
        )

    def _reset(self) -> None:
        self._lock = threading.Lock()
        self._counter.reset()
