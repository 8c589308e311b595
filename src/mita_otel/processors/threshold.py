"""Judges each span against its limits; a breach leaves a mark, a count, a log line and a signal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from opentelemetry import metrics
from opentelemetry.sdk.trace import Event, ReadableSpan, SpanProcessor

from mita_otel import semconv
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
    """Marks the spans that took longer than their limit.

    A breach passes on a copy of the span with the `mita.latency.*` attributes and an event, adds one to the
    counter `mita.latency.breaches` (by kind and rule), and logs a line. Any other span passes as it is.

    Args:
        policy: The limits.
        next_processor: What comes next.
        meter: Makes the counter. None: one of the global provider.
        clock: Monotonic seconds, for the log line's cool-down.
        recent: What limits that adapt are made from. None: they are at their ceilings.
        names: Redacts and bounds the names that observers and listeners get. None: they get them as they are.
        breaches: Counts, logs and tells listeners. None: counts with `meter`, logs, and tells nobody.
        observers: Count every span that has a kind, slow or not.
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
        """Return the span, marked if it broke a limit."""
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
            except Exception:
                if id(observer) not in self._failed_observers:
                    self._failed_observers.add(id(observer))
                    _logger.exception(
                        "%s failed on a span; it will not be reported again", type(observer).__name__
                    )


def _marked(span: ReadableSpan, breaches: Sequence[Breach]) -> ReadableSpan:
    """Return a copy with the worst breach as attributes, and an event for each."""
    events = [Event(semconv.LATENCY_EVENT, _marks(breach), span.end_time) for breach in breaches]
    return RewrittenSpan(
        span, attributes={**(span.attributes or {}), **_marks(breaches[0])}, events=(*span.events, *events)
    )


def _marks(breach: Breach) -> dict[str, str | float | bool]:
    return {
        semconv.LATENCY_EXCEEDED: True,
        semconv.LATENCY_KIND: breach.kind,
        semconv.LATENCY_RULE: breach.rule,
        semconv.LATENCY_LIMIT_MS: breach.limit_ms,
        semconv.LATENCY_DURATION_MS: round(breach.duration_ms, 3),
        semconv.LATENCY_OVERRUN_MS: round(breach.overrun_ms, 3),
    }
