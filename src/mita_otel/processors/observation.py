"""What is known of a span before anything is sampled away: what metrics and summaries are made from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode

from mita_otel import semconv
from mita_otel.latency.facts import SpanFacts
from mita_otel.latency.limits import Verdict
from mita_otel.latency.operations import Operation


@dataclass(slots=True)
class Observation:
    """A finished span, judged."""

    span: ReadableSpan
    facts: SpanFacts
    operation: Operation
    """As it may be shown."""
    verdict: Verdict
    failed: bool


class SpanObserver(Protocol):
    """Something that counts spans. Must be quick: it runs on the pipeline's thread."""

    def observe(self, observation: Observation, /) -> None:
        """Count the span."""


def facts_of(span: ReadableSpan) -> SpanFacts | None:
    """Return the facts of a span, or None for one without times. A clock that was put back makes no time negative."""
    if span.start_time is None or span.end_time is None:
        return None
    duration_ms = max(0.0, (span.end_time - span.start_time) / 1e6)
    return SpanFacts(span.name, span.kind.name, duration_ms, span.attributes or {})


def has_failed(span: ReadableSpan) -> bool:
    """Return whether a span's status is an error, or its HTTP status a server's error."""
    return span.status.status_code is StatusCode.ERROR or is_server_error(span.attributes or {})


def is_server_error(attributes: Any) -> bool:
    """Return whether attributes hold an HTTP status of 500 or above."""
    status = semconv.first(attributes, semconv.HTTP_STATUS_CODE)
    return isinstance(status, int) and status >= 500
