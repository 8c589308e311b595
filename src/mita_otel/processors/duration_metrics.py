"""Durations as OpenTelemetry's metrics, from every span that is recorded: true whatever is sampled away."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from opentelemetry import metrics, trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import NonRecordingSpan

from mita_otel import environment_variables as variables
from mita_otel import semconv
from mita_otel.latency.measures import BUCKETS_S, METRICS, measure_of
from mita_otel.processors.observation import Observation

_NATIVE_FASTAPI = "fastapi"
_CONTRIB_PREFIX = "opentelemetry.instrumentation."
_HTTP = frozenset({semconv.HTTP_SERVER_DURATION, semconv.HTTP_CLIENT_DURATION})

_DESCRIPTIONS: Mapping[str, str] = {
    semconv.HTTP_SERVER_DURATION: "Duration of HTTP server requests.",
    semconv.HTTP_CLIENT_DURATION: "Duration of HTTP client requests.",
    semconv.DB_CLIENT_DURATION: "Duration of database client operations.",
    semconv.DB_WAIT_TIME: "The time it took to obtain an open connection from the pool.",
    semconv.MESSAGING_PROCESS_DURATION: "Duration of processing operation.",
    semconv.OPERATION_DURATION: "Duration of financial operations, background tasks and what the mobile app does.",
}


class DurationMetrics:
    """Records the duration of each span into the histogram of its kind.

    Where the instrumentation that made a span emits the same metric itself (FastAPI's own telemetry; the contrib
    packages once `OTEL_SEMCONV_STABILITY_OPT_IN` names `http`), it is left to it.

    Args:
        meter: Makes the histograms. None: one of the global provider.
        active: Whether anybody collects metrics. Asked for each span.
        exemplified: Whether a span's trace is likely to be kept, so that an exemplar leads somewhere.
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
        return scope == _NATIVE_FASTAPI or (self._contrib_emits_http and scope.startswith(_CONTRIB_PREFIX))
