"""What a test recorded, item by item: log records, errors, metrics and redactions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.metrics.export import MetricsData
from opentelemetry.trace import format_span_id, format_trace_id

from mita_otel import semconv


@dataclass(frozen=True, slots=True)
class CapturedLog:
    """A log record, redacted."""

    body: Any
    severity: str
    """As in `ERROR`."""
    logger: str
    """Name of the logger."""
    event_name: str
    """As in `mita.security`; empty for a record of standard logging."""
    attributes: Mapping[str, Any]
    trace_id: str
    """32 hexadecimal digits; empty outside of a trace."""
    span_id: str
    """16 hexadecimal digits; empty outside of a trace."""


@dataclass(frozen=True, slots=True)
class CapturedError:
    """An error as Sentry would show it, redacted."""

    type: str
    """Type of the exception; empty for a message."""
    message: str
    level: str
    """As in `error`."""
    tags: Mapping[str, str]
    trace_id: str
    """32 hexadecimal digits; empty outside of a trace."""
    event: Mapping[str, Any] = field(repr=False)
    """The whole event."""


@dataclass(frozen=True, slots=True)
class CapturedMetric:
    """A measured value: one instrument, one set of attributes."""

    name: str
    unit: str
    attributes: Mapping[str, Any]
    value: float
    """The sum of a counter or histogram; the last value of a gauge."""
    count: int
    """Number of values in a histogram; 1 for other instruments."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """Values of one span or log record that one rule redacted."""

    rule: str
    """As in `pan`."""
    count: int
    where: str
    """Name of the span, or `log record of LOGGER`."""


def log_of(emitted: ReadableLogRecord) -> CapturedLog:
    """Return an emitted log record as a captured one."""
    record = emitted.log_record
    return CapturedLog(
        body=record.body,
        severity=record.severity_text or "",
        logger=emitted.instrumentation_scope.name if emitted.instrumentation_scope else "",
        event_name=record.event_name or "",
        attributes=dict(record.attributes or {}),
        trace_id=format_trace_id(record.trace_id) if record.trace_id else "",
        span_id=format_span_id(record.span_id) if record.span_id else "",
    )


def error_of(event: Mapping[str, Any]) -> CapturedError:
    """Return the error of a Sentry event."""
    exceptions = (event.get("exception") or {}).get("values") or [{}]
    entry = event.get("logentry") or {}
    message = exceptions[-1].get("value") or entry.get("formatted") or entry.get("message")
    return CapturedError(
        type=str(exceptions[-1].get("type") or ""),
        message=str(message or event.get("message") or ""),
        level=str(event.get("level") or ""),
        tags=dict(event.get("tags") or {}),
        trace_id=str(((event.get("contexts") or {}).get("trace") or {}).get("trace_id") or ""),
        event=event,
    )


def metrics_of(data: MetricsData | None) -> Iterable[CapturedMetric]:
    """Yield the data points of collected metrics."""
    scopes = [
        scope for resource in (data.resource_metrics if data else ()) for scope in resource.scope_metrics
    ]
    for metric in [metric for scope in scopes for metric in scope.metrics]:
        for point in metric.data.data_points:
            value = point.sum if hasattr(point, "sum") else getattr(point, "value", 0)
            count = getattr(point, "count", 1)
            yield CapturedMetric(metric.name, metric.unit or "", dict(point.attributes or {}), value, count)


def redactions_of(where: str, attributes: Mapping[str, Any]) -> Iterable[Redaction]:
    """Yield the redactions that attributes count, by rule."""
    for one in attributes.get(semconv.REDACTED_RULES) or ():
        rule, _, count = str(one).rpartition(":")
        yield Redaction(rule, int(count), where)
