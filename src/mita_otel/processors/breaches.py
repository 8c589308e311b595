"""What a breach leaves behind beside its mark on the span: a count, how far above, a log line, a signal."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Breach
from mita_otel.latency.measures import BUCKETS_S
from mita_otel.latency.operations import method_of
from mita_otel.policy.thresholds import BreachLogPolicy
from mita_otel.processors.breach_signal import BreachReport, BreachSignal
from mita_otel.processors.queues.forks import ForkSafeLock


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
        self._log.warn(breach.rule, describe_breach(breach, facts), _trace_id(span))
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
        text = f"{public_name(facts, '')} ran the same statement {count} times, limit {limit}"
        self._log.warn(semconv.REPEATED_QUERIES_RULE, text, _trace_id(span))
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


_logger = logging.getLogger("mita_otel.latency")

_TABLES: Final = (
    "financial.",
    "outgoing.hosts.",
    "cache.operations.",
    "consumer.destinations.",
    "mobile.screens.",
    "mobile.requests.",
    "mobile.operations.",
)
"""The policy's tables of limits by name. A name that stands there is the policy's, and may be shown."""

_NOUNS: Final = {
    "financial": "financial operation",
    "background": "background operation",
    "consumer": "message",
    "checkout": "connection check-out",
    "cache": "cache operation",
    "outgoing": "outgoing request",
    "mobile_screen": "mobile screen",
    "mobile_request": "mobile request",
    "mobile_operation": "mobile operation",
}


@dataclass(slots=True)
class _LastLine:
    at_s: float
    suppressed: int = 0


class BreachLog:
    """One log line a rule in a while; the next one says how many there were in between.

    Args:
        cool_down_s: Seconds of silence after a line, by rule.
        clock: Monotonic seconds.
    """

    def __init__(self, cool_down_s: float, clock: Callable[[], float]) -> None:
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._lock = ForkSafeLock()
        # One entry a rule of the policy: the policy bounds it.
        self._last_lines: dict[str, _LastLine] = {}

    def warn(self, rule: str, text: str, trace_id: str) -> None:
        """Log the text, unless the rule was logged a short while ago.

        Args:
            rule: The rule that was broken.
            text: What happened; nothing that varies or could be a secret.
            trace_id: The trace's id.
        """
        with self._lock:
            now = self._clock()
            last = self._last_lines.get(rule)
            if last is not None and now - last.at_s < self._cool_down_s:
                last.suppressed += 1
                return
            suppressed = last.suppressed if last else 0
            self._last_lines[rule] = _LastLine(now)
        more = f"; {suppressed} more since the last line" if suppressed else ""
        _logger.warning("%s (rule %s, trace %s)%s", text, rule, trace_id, more)


def describe_breach(breach: Breach, facts: SpanFacts) -> str:
    """Return what a breach is, as in `GET /api/notes took 620 ms, limit 500 ms`.

    No path, no statement, no name that the application made up: only names of the policy, methods and route
    templates.
    """
    return f"{public_name(facts, breach.rule)} took {breach.duration_ms:.0f} ms, limit {breach.limit_ms:g} ms"


def public_name(facts: SpanFacts, rule: str) -> str:
    """Return a name of the span that may be shown to anybody."""
    kind = facts.kind
    if kind == "api":
        return f"{method_of(facts)} {facts.route or '(no route)'}"
    if kind == "database":
        return f"database {facts.verb}"
    noun = _NOUNS.get(kind or "", "span")
    name = next((rule.removeprefix(table) for table in _TABLES if rule.startswith(table)), "")
    return f"{noun} {name}".strip()
