"""Rows of the store from finished, redacted spans and log records: pure functions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode, format_span_id, format_trace_id

from mita_otel import semconv
from mita_otel._json import json_bytes
from mita_otel.processors.finished_spans import json_value, span_json

_HOUR_NS: Final = 3600 * 10**9
_ERROR: Final = 17
"""Lowest severity number of an error."""
_MAX_NAME: Final = 64
"""Characters of a column with a short name."""
_KINDS: Final = {
    semconv.ERROR_EVENT: "error",
    semconv.SECURITY_EVENT: "security",
    semconv.COMPLIANCE_EVENT: "compliance",
}
_SEVERITIES: Final = ((21, "critical"), (_ERROR, "high"), (13, "medium"), (0, "low"))
"""Lowest OpenTelemetry severity number of each severity of the financial API."""
_UNCATEGORISED: Final = "system_error"
_COLUMNS: Final = frozenset(
    {
        semconv.ERROR_CATEGORY,
        semconv.SEVERITY,
        semconv.EVENT_ID,
        semconv.OPERATION,
        semconv.USER_ID,
        semconv.TRANSACTION_ID,
        semconv.REQUEST_ID,
        semconv.BREADCRUMBS,
        semconv.TAGS,
        semconv.FINGERPRINT,
        semconv.EXCEPTION_TYPE,
        semconv.EXCEPTION_MESSAGE,
    }
)
"""Attributes that have a column, or repeat other attributes."""


def span_row(span: ReadableSpan) -> dict[str, Any] | None:
    """Return the row of `mita_spans`; None for a span without context or end."""
    if span.context is None or span.start_time is None or span.end_time is None:
        return None
    attributes = span.attributes or {}
    return {
        "trace_id": format_trace_id(span.context.trace_id),
        "span_id": format_span_id(span.context.span_id),
        "parent_span_id": format_span_id(span.parent.span_id) if span.parent else None,
        **_where(span.resource.attributes),
        "name": clean(span.name),
        "kind": span.kind.name,
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "duration_ms": (span.end_time - span.start_time) / 1e6,
        "failed": span.status.status_code is StatusCode.ERROR,
        "exceeded": bool(attributes.get(semconv.LATENCY_EXCEEDED)),
        "user_id": _text(attributes.get(semconv.USER_ID)),
        "record": json_text(span_json(span)),
    }


def breach_row(span: ReadableSpan) -> dict[str, Any] | None:
    """Return the row of `mita_breaches`. None: the span exceeded no limit."""
    attributes = span.attributes or {}
    if not attributes.get(semconv.LATENCY_EXCEEDED) or span.context is None or span.end_time is None:
        return None
    return {
        "occurred_ns": span.end_time,
        **_where(span.resource.attributes),
        "kind": _short(attributes.get(semconv.LATENCY_KIND)),
        "rule": clean(str(attributes.get(semconv.LATENCY_RULE, ""))),
        "name": clean(span.name),
        "duration_ms": _number(attributes.get(semconv.LATENCY_DURATION_MS)),
        "limit_ms": _number(attributes.get(semconv.LATENCY_LIMIT_MS)),
        "trace_id": format_trace_id(span.context.trace_id),
        "span_id": format_span_id(span.context.span_id),
    }


@dataclass(frozen=True, slots=True)
class RedactionReport:
    """The redactions of a span or log record."""

    at_ns: int
    """Nanoseconds since the epoch."""
    attributes: Mapping[str, Any]
    resource: Mapping[str, Any]


def redaction_rows(reports: Iterable[RedactionReport]) -> list[dict[str, Any]]:
    """Return the rows of `mita_redactions`: the number of redacted values by rule, hour and service."""
    counts: Counter[tuple[int, str, str, str]] = Counter()
    for report in reports:
        rules = report.attributes.get(semconv.REDACTED_RULES)
        if not isinstance(rules, tuple | list):
            continue
        where = _where(report.resource)
        hour_ns = report.at_ns - report.at_ns % _HOUR_NS
        for one in rules:
            rule, _, count = str(one).rpartition(":")
            if rule and count.isdigit():
                counts[hour_ns, where["service"], where["environment"], clean(rule)] += int(count)
    return [
        {"hour_ns": hour_ns, "service": service, "environment": environment, "rule": rule, "count": count}
        for (hour_ns, service, environment, rule), count in sorted(counts.items())
    ]


def error_row(emitted: ReadableLogRecord) -> dict[str, Any] | None:
    """Return the row of `mita_errors`. None: the record is not an error, security or compliance event."""
    record = emitted.log_record
    attributes: dict[str, Any] = dict(record.attributes or {})
    kind = _KINDS.get(record.event_name or "")
    number = record.severity_number.value if record.severity_number else 0
    if kind is None and (number < _ERROR or semconv.EXCEPTION_TYPE not in attributes):
        return None
    named = {"security": semconv.SECURITY_EVENT_TYPE, "compliance": semconv.COMPLIANCE_REGULATION}.get(
        kind or ""
    )
    name = attributes.get(named or semconv.EXCEPTION_TYPE) or record.event_name or "error"
    message = attributes.get(semconv.EXCEPTION_MESSAGE) or record.body
    severity = attributes.get(semconv.SEVERITY)
    return {
        "occurred_ns": record.timestamp or record.observed_timestamp or 0,
        "kind": kind or "error",
        **_where(emitted.resource.attributes if emitted.resource else {}),
        "event_id": _short(attributes.get(semconv.EVENT_ID)) or None,
        "category": clean(str(attributes.get(semconv.ERROR_CATEGORY) or _UNCATEGORISED)),
        "severity": _short(severity)
        if severity
        else next(one for least, one in _SEVERITIES if number >= least),
        "name": clean(str(name)),
        "message": clean(message if isinstance(message, str) else json_text(message)),
        "operation": _text(attributes.get(semconv.OPERATION)),
        "user_id": _text(attributes.get(semconv.USER_ID)),
        "transaction_id": _text(attributes.get(semconv.TRANSACTION_ID)),
        "request_id": _text(attributes.get(semconv.REQUEST_ID)),
        "trace_id": format_trace_id(record.trace_id) if record.trace_id else None,
        "span_id": format_span_id(record.span_id) if record.span_id else None,
        "details": json_text({key: value for key, value in attributes.items() if key not in _COLUMNS}),
    }


def json_text(value: Any) -> str:
    """Return a value as JSON, as text."""
    return json_bytes(json_value(value)).decode()


def clean(text: str) -> str:
    """Return the text without characters that a text column cannot hold: NUL and lone surrogates."""
    text = text.replace("\x00", "\N{REPLACEMENT CHARACTER}")
    return text.encode("utf-8", "replace").decode()


def _where(resource: Mapping[str, Any]) -> dict[str, str]:
    return {
        "service": clean(str(resource.get(semconv.SERVICE_NAME, ""))),
        "environment": clean(str(semconv.first(resource, semconv.DEPLOYMENT_ENVIRONMENT) or "")),
    }


def _text(value: Any) -> str | None:
    return None if value is None else clean(str(value))


def _short(value: Any) -> str:
    return "" if value is None else clean(str(value))[:_MAX_NAME]


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
