"""Single events that rules count: errors, security events, compliance violations and exceeded limits."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.trace import format_trace_id

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.policy.alerts import Stream
from mita_otel.processors.breach_signal import BreachReport

_logger = logging.getLogger("mita_otel.alerts")

_STREAMS: Final[Mapping[str, Stream]] = {
    semconv.ERROR_EVENT: "errors",
    semconv.SECURITY_EVENT: "security",
    semconv.COMPLIANCE_EVENT: "compliance",
}
_MAX_MESSAGE: Final = 2000
"""Characters of a message that an alert uses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AlertEvent:
    """An event. Its strings may hold secrets: they are redacted before they are stored or sent."""

    stream: Stream
    at_ns: int
    """Nanoseconds since the epoch."""
    name: str
    """Type of the exception or security event, regulation, or name of the exceeded limit."""
    category: str = ""
    severity: str = ""
    operation: str = ""
    kind: str = ""
    """Kind of span, for an exceeded limit."""
    mobile: bool = False
    """Whether the mobile app reported it."""
    handled: bool = True
    message: str = ""
    event_id: str = ""
    trace_id: str = ""


class AlertEventProcessor(LogRecordProcessor):
    """Turns log records and exceeded limits into events, on the thread that emits them. Quick; never raises.

    Args:
        submit: Queues an event without blocking.
        streams: Streams of single events that a rule counts.
    """

    def __init__(self, submit: Callable[[AlertEvent], None], streams: frozenset[Stream]) -> None:
        self._submit = submit
        self.streams = streams
        """Streams of single events that a rule counts."""

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Submit the event of a record, if rules count such events."""
        try:
            event = event_of_record(log_record)
            if event is not None and event.stream in self.streams:
                self._submit(event)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("an event could not be counted", exc_info=True)

    def on_error(self, event: AlertEvent, /) -> None:
        """Submit an error that has no log record in this process: a mobile app's."""
        if event.stream in self.streams:
            self._submit(event)

    def on_breach(self, report: BreachReport, /) -> None:
        """Submit an exceeded limit."""
        self._submit(event_of_breach(report))

    def shutdown(self) -> None:
        """Do nothing: the engine is a stage and is closed as such."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: the engine is a stage and is flushed as such."""
        return True


def event_of_record(emitted: ReadWriteLogRecord) -> AlertEvent | None:
    """Return the event of a log record. None: rules do not count such records."""
    record = emitted.log_record
    stream = _STREAMS.get(record.event_name or "")
    if stream is None:
        return None
    attributes: Mapping[str, Any] = record.attributes or {}
    return AlertEvent(
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


def event_of_breach(report: BreachReport) -> AlertEvent:
    """Return the event of an exceeded limit."""
    unit = " times" if report.rule == semconv.REPEATED_QUERIES_RULE else " ms"
    return AlertEvent(
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
