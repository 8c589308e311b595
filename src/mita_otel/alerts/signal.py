"""What rules count one by one: an error, a security event, a violation, a broken limit; read off what telemetry says."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk._logs import ReadWriteLogRecord
from opentelemetry.trace import format_trace_id

from mita_otel import semconv
from mita_otel.policy.alerts import Stream
from mita_otel.processors.breach_signal import BreachReport

_STREAMS: Final[Mapping[str, Stream]] = {
    semconv.ERROR_EVENT: "errors",
    semconv.SECURITY_EVENT: "security",
    semconv.COMPLIANCE_EVENT: "compliance",
}
_MAX_MESSAGE: Final = 2000
"""Characters of a message that an alert looks at."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Signal:
    """One event. Its texts may hold secrets: they are redacted before they go anywhere."""

    stream: Stream
    at_ns: int
    """Nanoseconds since the epoch."""
    name: str
    """The exception's type, the security event's, the regulation, or the limit that was broken."""
    category: str = ""
    severity: str = ""
    operation: str = ""
    kind: str = ""
    """The kind of span, of a broken limit."""
    mobile: bool = False
    """Whether the mobile app reported it."""
    handled: bool = True
    message: str = ""
    event_id: str = ""
    trace_id: str = ""


def signal_of_record(emitted: ReadWriteLogRecord) -> Signal | None:
    """Return the signal of a log record; None: it is none that rules count. Reads, and does no work."""
    record = emitted.log_record
    stream = _STREAMS.get(record.event_name or "")
    if stream is None:
        return None
    attributes: Mapping[str, Any] = record.attributes or {}
    return Signal(
        stream=stream,
        at_ns=record.timestamp or record.observed_timestamp or time.time_ns(),
        name=_name(stream, record, attributes),
        category=_text(attributes, semconv.ERROR_CATEGORY),
        severity=_text(attributes, semconv.SEVERITY),
        operation=_text(attributes, semconv.OPERATION) or _text(attributes, semconv.OPERATION_PART_OF),
        mobile=attributes.get(semconv.ERROR_SOURCE) == semconv.MOBILE,
        handled=attributes.get(semconv.HANDLED) is not False,
        message=str(record.body or "")[:_MAX_MESSAGE],
        event_id=_text(attributes, semconv.EVENT_ID),
        trace_id=format_trace_id(record.trace_id) if record.trace_id else "",
    )


def signal_of_breach(report: BreachReport) -> Signal:
    """Return the signal of a broken limit."""
    unit = " times" if report.rule == semconv.REPEATED_QUERIES_RULE else " ms"
    return Signal(
        stream="breaches",
        at_ns=int(report.at_s * 1e9),
        name=report.rule,
        operation=report.operation,
        kind=report.kind,
        message=f"{report.operation}: {report.value:.0f}{unit}, limit {report.limit:g}{unit}",
        trace_id=report.trace_id,
    )


def _name(stream: Stream, record: Any, attributes: Mapping[str, Any]) -> str:
    if stream == "security":
        return _text(attributes, semconv.SECURITY_EVENT_TYPE)
    if stream == "compliance":
        return _text(attributes, semconv.COMPLIANCE_REGULATION)
    exception = getattr(record, "exception", None)
    return (
        type(exception).__qualname__ if exception is not None else _text(attributes, semconv.EXCEPTION_TYPE)
    )


def _text(attributes: Mapping[str, Any], name: str) -> str:
    value = attributes.get(name)
    return "" if value is None else str(value)
