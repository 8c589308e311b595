"""What a breach leaves behind beside its mark on the span: a count, how far above, a log line, a signal."""

from __future__ import annotations

import time
from collections.abc import Callable

from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach
from mita_otel.latency.measures import BUCKETS_S
from mita_otel.policy.thresholds import BreachLogPolicy
from mita_otel.processors.breach_log import BreachLog, text_of, what
from mita_otel.processors.breach_signal import BreachReport, BreachSignal


class Breaches:
    """Counts breaches, logs them and tells listeners.

    Args:
        policy: The log line's cool-down.
        meter: Makes the instruments. None: one of the global provider.
        signal: Tells listeners. None: nobody is told.
        clock: Monotonic seconds, for the log line's cool-down.
    """

    def __init__(
        self,
        policy: BreachLogPolicy,
        *,
        meter: metrics.Meter | None = None,
        signal: BreachSignal | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        meter = meter or metrics.get_meter("mita_otel")
        self._log = BreachLog(policy.cool_down_s, clock)
        self._signal = signal
        self._counter = meter.create_counter(
            semconv.LATENCY_COUNTER, unit="{breach}", description="Limits that were broken, by kind and rule"
        )
        self._overrun = meter.create_histogram(
            semconv.LATENCY_OVERRUN_HISTOGRAM,
            unit="s",
            description="How far above its limit a span was",
            explicit_bucket_boundaries_advisory=BUCKETS_S,
        )

    def exceeded(self, breach: Breach, span: ReadableSpan, facts: SpanFacts, operation: str) -> None:
        """Take note of a span that took longer than its limit.

        Args:
            breach: The limit and the duration.
            span: The span.
            facts: Its facts.
            operation: Its operation, as it may be shown.
        """
        labels = {"kind": breach.kind, "rule": breach.rule}
        # In the span's context, so that an exemplar leads from the number to the trace.
        context = trace.set_span_in_context(NonRecordingSpan(span.context)) if span.context else None
        self._counter.add(1, labels, context)
        self._overrun.record(breach.overrun_ms / 1000, labels, context)
        self._log.say(breach.rule, text_of(breach, facts), _trace_id(span))
        if self._signal is not None:
            self._signal.send(
                BreachReport(
                    breach.kind,
                    breach.rule,
                    operation,
                    breach.limit_ms,
                    breach.duration_ms,
                    (span.end_time or 0) / 1e9,
                    _trace_id(span),
                    _span_id(span),
                )
            )

    def repeated(self, count: int, limit: int, span: ReadableSpan, facts: SpanFacts, operation: str) -> None:
        """Take note of a span under which one statement ran too often.

        Args:
            count: How often it ran.
            limit: How often it may.
            span: The span.
            facts: Its facts.
            operation: Its operation, as it may be shown.
        """
        context = trace.set_span_in_context(NonRecordingSpan(span.context)) if span.context else None
        self._counter.add(1, {"kind": "database", "rule": semconv.REPEATED_QUERIES_RULE}, context)
        text = f"{what(facts, '')} ran the same statement {count} times, limit {limit}"
        self._log.say(semconv.REPEATED_QUERIES_RULE, text, _trace_id(span))
        if self._signal is not None:
            self._signal.send(
                BreachReport(
                    "database",
                    semconv.REPEATED_QUERIES_RULE,
                    operation,
                    limit,
                    count,
                    (span.end_time or 0) / 1e9,
                    _trace_id(span),
                    _span_id(span),
                )
            )


def _trace_id(span: ReadableSpan) -> str:
    return format_trace_id(span.context.trace_id) if span.context else ""


def _span_id(span: ReadableSpan) -> str:
    return format_span_id(span.context.span_id) if span.context else ""
