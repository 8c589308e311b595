"""Observers of all recorded spans, before sampling: duration metrics, latency windows and error budgets."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan, StatusCode

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.latency.burn import BudgetLedger
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Verdict
from mita_otel.latency.measures import BUCKETS_S, METRICS, measure_of
from mita_otel.latency.operations import Operation
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.processors.queues.forks import after_fork_in_child


@dataclass(slots=True)
class Observation:
    """A finished span with its operation and the verdict of its limits."""

    span: ReadableSpan
    facts: SpanFacts
    operation: Operation
    """With a redacted name."""
    verdict: Verdict
    failed: bool


class SpanObserver(Protocol):
    """Observes each recorded span. It runs on the pipeline's thread, so it must be quick."""

    def observe(self, observation: Observation, /) -> None:
        """Count the span."""


def facts_of(span: ReadableSpan) -> SpanFacts | None:
    """Return the facts of a span, or None if it has no times. A duration is never negative, even if the clock steps back."""
    if span.start_time is None or span.end_time is None:
        return None
    duration_ms = max(0.0, (span.end_time - span.start_time) / 1e6)
    return SpanFacts(span.name, span.kind.name, duration_ms, span.attributes or {})


def has_failed(span: ReadableSpan) -> bool:
    """Return whether a span's status is an error, or its HTTP status 500 or above."""
    return span.status.status_code is StatusCode.ERROR or is_server_error(span.attributes or {})


def is_server_error(attributes: Any) -> bool:
    """Return whether attributes hold an HTTP status of 500 or above."""
    status = semconv.first(attributes, semconv.HTTP_STATUS_CODE)
    return isinstance(status, int) and status >= 500


class LatencyObserver:
    """Counts each span in the latency window of its operation and in the error budgets of its rules.

    Args:
        recorder: The latency windows.
        ledger: The error budgets.
    """

    def __init__(self, recorder: LatencyRecorder, ledger: BudgetLedger) -> None:
        self.recorder = recorder
        self.ledger = ledger
        after_fork_in_child(self._reset)

    def observe(self, observation: Observation) -> None:
        """Count the span."""
        verdict, context = observation.verdict, observation.span.context
        self.recorder.record(
            observation.operation,
            observation.facts.duration_ms,
            context.trace_id if context is not None else 0,
            failed=observation.failed,
            breached=bool(verdict.breaches),
            rule=verdict.rules[0] if verdict.rules else None,
        )
        broken = {breach.rule for breach in verdict.breaches}
        for rule in verdict.rules:
            if rule.limit_ms is not None:
                self.ledger.count(rule.name, broken=rule.name in broken)

    def _reset(self) -> None:
        self.recorder.reset()
        self.ledger.reset()


_NATIVE_FASTAPI = "fastapi"
CONTRIB_PREFIX: Final = "opentelemetry.instrumentation."
"""Start of the instrumentation scopes of OpenTelemetry's contrib packages."""
_HTTP = frozenset({semconv.HTTP_SERVER_DURATION, semconv.HTTP_CLIENT_DURATION})

_DESCRIPTIONS: Mapping[str, str] = {
    semconv.HTTP_SERVER_DURATION: "Duration of HTTP server requests.",
    semconv.HTTP_CLIENT_DURATION: "Duration of HTTP client requests.",
    semconv.DB_CLIENT_DURATION: "Duration of database client operations.",
    semconv.DB_WAIT_TIME: "The time it took to obtain an open connection from the pool.",
    semconv.MESSAGING_PROCESS_DURATION: "Duration of processing operation.",
    semconv.OPERATION_DURATION: "Duration of financial operations, background tasks and operations of the mobile app.",
}


class DurationMetrics:
    """Records the duration of each span in the histogram of its kind.

    It skips spans whose instrumentation emits the same metric: FastAPI's own telemetry, and the contrib packages if
    `OTEL_SEMCONV_STABILITY_OPT_IN` contains `http`.

    Args:
        meter: Creates the histograms. None: a meter of the global provider.
        active: Returns whether metrics are collected. Called for each span.
        exemplified: Returns whether a span's trace is likely to be kept, so that an exemplar can link to it.
        env: The environment variables.
    """

    def __init__(
        self,
        *,
        meter: metrics.Meter | None = None,
        active: Callable[[], bool] = lambda: True,
        exemplified: Callable[[ReadableSpan], bool] = lambda span: True,
        env: Mapping[str, str],
    ) -> None:
        meter = meter or metrics.get_meter("mita_otel")
        self._active = active
        self._exemplified = exemplified
        opted_in = {part.strip() for part in env.get(variables.SEMCONV_STABILITY_OPT_IN, "").split(",")}
        self._contrib_emits_http = not opted_in.isdisjoint({"http", "http/dup"})
        self._histograms = {
            name: meter.create_histogram(
                name,
                unit="s",
                description=_DESCRIPTIONS[name],
                explicit_bucket_boundaries_advisory=BUCKETS_S,
            )
            for name in sorted({*METRICS.values(), semconv.OPERATION_DURATION})
        }

    def observe(self, observation: Observation) -> None:
        """Record the span's duration."""
        if not self._active():
            return
        measure = measure_of(observation.facts, observation.operation, failed=observation.failed)
        span = observation.span
        if self._is_emitted_elsewhere(span, measure.metric):
            return
        context = None
        if span.context is not None and (observation.verdict.breaches or self._exemplified(span)):
            context = trace.set_span_in_context(NonRecordingSpan(span.context))
        self._histograms[measure.metric].record(
            observation.facts.duration_ms / 1000, measure.attributes, context
        )

    def _is_emitted_elsewhere(self, span: ReadableSpan, metric: str) -> bool:
        if metric not in _HTTP or span.instrumentation_scope is None:
            return False
        scope = span.instrumentation_scope.name
        return scope == _NATIVE_FASTAPI or (self._contrib_emits_http and scope.startswith(CONTRIB_PREFIX))
