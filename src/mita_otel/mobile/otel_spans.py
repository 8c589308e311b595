"""Converts an app's spans and errors to OpenTelemetry spans and log records."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LogRecordLimits, ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from mita_otel import semconv
from mita_otel.mobile.app_errors import exception_of, is_error, level_of
from mita_otel.mobile.app_spans import AppSpan, seconds_of
from mita_otel.mobile.measurement import tags_of

SCOPE: Final = InstrumentationScope("mita_otel.mobile")

_CLIENT_OPS: Final = ("http", "db", "grpc")
_LEVELS: Final = {
    "fatal": SeverityNumber.FATAL,
    "error": SeverityNumber.ERROR,
    "warning": SeverityNumber.WARN,
    "info": SeverityNumber.INFO,
    "debug": SeverityNumber.DEBUG,
}


def resource_of(value: Mapping[str, Any], service: str) -> Resource:
    """Return the resource of an app, from its event or span.

    Args:
        value: An event, or the attributes of a streamed span.
        service: The app's service name in the policy.
    """
    attributes: dict[str, str] = {semconv.SERVICE_NAME: service}
    release = value.get("release", value.get("sentry.release"))
    environment = value.get("environment", value.get("sentry.environment"))
    if isinstance(release, str) and release:
        attributes[semconv.SERVICE_VERSION] = release.rpartition("@")[2]
    if isinstance(environment, str) and environment:
        attributes[semconv.DEPLOYMENT_ENVIRONMENT[0]] = environment
    return Resource(attributes)


def span_of(span: AppSpan, resource: Resource, more: Mapping[str, Any] | None = None) -> ReadableSpan:
    """Return an app's span as a finished OpenTelemetry span.

    Args:
        span: The span.
        resource: The app's resource.
        more: Attributes beside the span's data.
    """
    trace_id, span_id = int(span.trace_id, 16), int(span.span_id, 16)
    flags = TraceFlags(TraceFlags.SAMPLED)
    parent = int(span.parent_span_id, 16) if span.parent_span_id else 0
    attributes = {**span.data, **(more or {})}
    if span.op:
        attributes.setdefault(semconv.SENTRY_OP, span.op)
    return ReadableSpan(
        name=span.name or span.op or "(unnamed)",
        context=SpanContext(trace_id, span_id, is_remote=False, trace_flags=flags),
        parent=SpanContext(trace_id, parent, is_remote=False, trace_flags=flags) if parent else None,
        resource=resource,
        attributes=attributes,
        kind=SpanKind.CLIENT if span.op.startswith(_CLIENT_OPS) else SpanKind.INTERNAL,
        status=Status(StatusCode.ERROR, span.status) if span.failed else Status(StatusCode.UNSET),
        start_time=int(span.start_s * 1e9),
        end_time=int(max(span.start_s, span.end_s) * 1e9),
        instrumentation_scope=SCOPE,
    )


def root_attributes(event: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that a transaction adds to its root: user and tags."""
    attributes: dict[str, Any] = {
        f"{semconv.TAG}.{name}": value
        for name, value in tags_of(dict(event)).items()
        if isinstance(value, str)
    }
    user = event.get("user")
    if isinstance(user, Mapping) and user.get("id"):
        attributes[semconv.USER_ID] = str(user["id"])
    return attributes


def error_record(event: Mapping[str, Any], resource: Resource, now_s: float) -> ReadableLogRecord | None:
    """Return the log record of an error event. None: the event is a plain message.

    Args:
        event: The redacted event.
        resource: The app's resource.
        now_s: The time of events without a timestamp, seconds since the epoch.
    """
    level = level_of(event)
    kind, message = exception_of(event)
    if not is_error(event, kind):
        return None
    tags = {name: str(value) for name, value in tags_of(dict(event)).items()}
    contexts = event.get("contexts")
    contexts = contexts if isinstance(contexts, Mapping) else {}
    trace, financial = _table(contexts, "trace"), _table(contexts, "financial_operation")
    attributes: dict[str, Any] = {
        semconv.EVENT_ID: event.get("event_id"),
        semconv.ERROR_SOURCE: semconv.MOBILE,
        semconv.EXCEPTION_TYPE: kind or None,
        semconv.EXCEPTION_MESSAGE: message,
        semconv.ERROR_CATEGORY: tags.get("error_category"),
        semconv.SEVERITY: tags.get("severity"),
        semconv.TRANSACTION_ID: tags.get("transaction_id") or financial.get("transaction_id"),
        semconv.OPERATION: event.get("transaction"),
        semconv.USER_ID: _table(event, "user").get("id"),
        semconv.TAGS: tags,
        semconv.CONTEXTS: {name: value for name, value in contexts.items() if name != "trace"},
    }
    at_s = seconds_of(event.get("timestamp")) or now_s
    record = LogRecord(
        timestamp=int(at_s * 1e9),
        severity_number=_LEVELS.get(level, SeverityNumber.ERROR),
        body=message,
        attributes={name: value for name, value in attributes.items() if value is not None},
        event_name=semconv.ERROR_EVENT,
    )
    record.trace_id, record.span_id = _number(trace.get("trace_id")), _number(trace.get("span_id"))
    return ReadableLogRecord(
        log_record=record, resource=resource, instrumentation_scope=SCOPE, limits=LogRecordLimits()
    )


def _table(owner: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = owner.get(name)
    return table if isinstance(table, Mapping) else {}


def _number(text: Any) -> int:
    try:
        return int(str(text), 16)
    except ValueError:
        return 0
