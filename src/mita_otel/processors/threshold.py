"""Compares each span with its limits. A breach is marked on the span, counted, logged and reported to listeners."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from opentelemetry import metrics
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach, LimitBook, RecentDurations, Verdict
from mita_otel.latency.operations import Operation, OperationNames, operation_of
from mita_otel.policy.thresholds import ThresholdPolicy
from mita_otel.processors.breaches import Breaches
from mita_otel.processors.finished_spans import RewrittenSpan
from mita_otel.processors.link import Link
from mita_otel.processors.observation import Observation, SpanObserver, facts_of, has_failed

_logger = logging.getLogger("mita_otel")


class ThresholdProcessor(Link):
    """Marks spans that exceeded their limit.

    A span with a breach is passed on as a copy with the `mita.latency.*` attributes and an event. The breach is counted
    in `mita.latency.breaches` (by kind and rule) and logged. Other spans are passed on unchanged.

    Args:
        policy: The limits.
        next_processor: Receives the spans.
        meter: Creates the counter. None: a meter of the global provider.
        clock: Monotonic seconds, for the cool-down of log lines.
        recent: Recent durations, for adaptive limits. None: adaptive limits are at their ceilings.
        names: Redacts and bounds names for observers and listeners. None: names are unchanged.
        breaches: Counts and logs breaches, and notifies listeners. None: counts with `meter`, and logs.
        observers: Receive every span that has a kind, slow or not.
    """

    def __init__(
        self,
        policy: ThresholdPolicy,
        next_processor: SpanProcessor,
        *,
        meter: metrics.Meter | None = None,
        clock: Callable[[], float] = time.monotonic,
        recent: RecentDurations | None = None,
        names: OperationNames | None = None,
        breaches: Breaches | None = None,
        observers: Sequence[SpanObserver] = (),
    ) -> None:
        super().__init__(next_processor)
        self._book = LimitBook(policy, recent)
        self._names = names
        self._breaches = breaches or Breaches(policy.log, meter=meter, clock=clock)
        self._observers = tuple(observers)
        self._failed_observers: set[int] = set()

    def process(self, span: ReadableSpan) -> ReadableSpan | None:
        """Return the span, marked if it exceeded a limit."""
        if span.attributes and semconv.DB_MEASURED_BY in span.attributes:
            return span
        facts = facts_of(span)
        operation = operation_of(facts) if facts is not None else None
        if facts is None or operation is None:
            return span
        verdict = self._book.verdict(facts)
        if self._names is not None:
            operation = self._names.shown(operation)
        if self._observers:
            self._observe(span, facts, operation, verdict)
        if not verdict.breaches:
            return span
        for breach in verdict.breaches:
            self._breaches.exceeded(breach, span, facts, operation.name)
        return _marked(span, verdict.breaches)

    def _observe(self, span: ReadableSpan, facts: SpanFacts, operation: Operation, verdict: Verdict) -> None:
        observation = Observation(span, facts, operation, verdict, has_failed(span))
        for observer in self._observers:
            try:
                observer.observe(observation)
            except BaseException as error:
                raise_interrupt(error)
                if id(observer) not in self._failed_observers:
                    self._failed_observers.add(id(observer))
                    _logger.exception(
                        "%s failed on a span; further failures are not logged", type(observer).__name__
                    )


def _marked(span: ReadableSpan, breaches: Sequence[Breach]) -> ReadableSpan:
    """Return a copy with the worst breach as attributes, and an event for each."""
    events = [Event(semconv.LATENCY_EVENT, breach.attributes(), span.end_time) for breach in breaches]
    return RewrittenSpan(
        span,
        attributes={**(span.attributes or {}), **breaches[0].attributes()},
        events=(*span.events, *events),
    )
