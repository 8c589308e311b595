"""Counts breaches, measures by how much they exceeded their limits, logs them and notifies listeners."""

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
    """Counts breaches, logs them and notifies listeners.

    Args:
        policy: The cool-down of log lines.
        meter: Creates the instruments. None: a meter of the global provider.
        signal: Notifies listeners. None: there are no listeners.
        clock: Monotonic seconds, for the cool-down.
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
            semconv.LATENCY_COUNTER, unit="{breach}", description="Breaches of limits, by kind and rule"
        )
        self._overrun = meter.create_histogram(
            semconv.LATENCY_OVERRUN_HISTOGRAM,
            unit="s",
            description="Time by which spans exceeded their limits",
            explicit_bucket_boundaries_advisory=BUCKETS_S,
        )

    def exceeded(self, breach: Breach, span: ReadableSpan, facts: SpanFacts, operation: str) -> None:
        """Record a span that exceeded its limit.

        Args:
            breach: The limit and the duration.
            span: The span.
            facts: Its facts.
            operation: Its redacted operation name.
        """
        labels = {"kind": breach.kind, "rule": breach.rule}
        # In the span's context, so that an exemplar links the measurement to the trace.
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
        """Record a span under which one statement ran too often.

        Args:
            count: How often it ran.
            limit: How often it may.
            span: The span.
            facts: Its facts.
            operation: Its redacted operation name.
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
"""Policy tables whose keys are names. These names come from the policy, so they hold no secret."""

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
    """Logs at most one line per rule and cool-down. The next line counts the suppressed ones.

    Args:
        cool_down_s: Seconds between two lines about the same rule.
        clock: Monotonic seconds.
    """

    def __init__(self, cool_down_s: float, clock: Callable[[], float]) -> None:
        self._cool_down_s = cool_down_s
        self._clock = clock
        self._lock = ForkSafeLock()
        # One entry per rule, so the policy bounds its size.
        self._last_lines: dict[str, _LastLine] = {}

    def warn(self, rule: str, text: str, trace_id: str) -> None:
        """Log a breach, unless its rule was logged within the cool-down.

        Args:
            rule: The rule whose limit was exceeded.
            text: The breach, without secrets.
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
    """Return a description of a breach, such as `GET /api/notes took 620 ms, limit 500 ms`.

    It holds names from the policy, methods and route templates, but no path, statement or name from the application.
    """
    return f"{public_name(facts, breach.rule)} took {breach.duration_ms:.0f} ms, limit {breach.limit_ms:g} ms"


def public_name(facts: SpanFacts, rule: str) -> str:
    """Return a name of the span that holds no secret."""
    kind = facts.kind
    if kind == "api":
        return f"{method_of(facts)} {facts.route or '(no route)'}"
    if kind == "database":
        return f"database {facts.verb}"
    noun = _NOUNS.get(kind or "", "span")
    name = next((rule.removeprefix(table) for table in _TABLES if rule.startswith(table)), "")
    return f"{noun} {name}".strip()
