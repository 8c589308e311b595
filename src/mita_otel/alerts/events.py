"""What rules count: single events, and samples of single events or of the spans of a short interval.

Events are errors, security events, compliance violations and exceeded limits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any, Final

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.trace import format_trace_id

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.policy.alerts import AlertRule, Grouping, Stream
from mita_otel.processors.breach_signal import BreachReport

_logger = logging.getLogger("mita_otel.alerts")

_STREAMS: Final[Mapping[str, Stream]] = {
    semconv.ERROR_EVENT: "errors",
    semconv.SECURITY_EVENT: "security",
    semconv.COMPLIANCE_EVENT: "compliance",
}
_MAX_MESSAGE: Final = 2000
"""Characters of a message that an alert uses."""
OTHER = "(other)"
"""Subject of everything beyond the maximum number of subjects."""
_SEPARATOR: Final = " · "
_MAX_PART: Final = 80
"""Characters of one part of a subject."""


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


@dataclass(frozen=True, slots=True)
class Exemplar:
    """An example of a counted event, redacted."""

    message: str = ""
    name: str = ""
    category: str = ""
    severity: str = ""
    operation: str = ""
    event_id: str = ""
    trace_id: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A count for a rule."""

    rule: str
    """Name of the rule."""
    subject: str
    """See `matching.RuleMatch.subject`; redacted."""
    at_ns: int
    """Time of the event or start of the interval: nanoseconds since the epoch."""
    hits: int = 1
    """Events; or spans that failed or exceeded a limit."""
    total: int = 1
    """Events; or all spans."""
    exemplar: Exemplar | None = None
    single: bool = True
    """Whether it is one event. Otherwise it is the sum of an interval."""


@dataclass(slots=True)
class Counts:
    """The sum of samples."""

    hits: int = 0
    total: int = 0

    def add(self, hits: int, total: int) -> None:
        """Add a sample's counts."""
        self.hits += hits
        self.total += total

    @property
    def ratio(self) -> float:
        """The fraction of spans that failed or exceeded a limit; 0 without spans."""
        return self.hits / self.total if self.total else 0.0


@dataclass(frozen=True, slots=True)
class RuleMatch:
    """A rule that counts an event."""

    rule: str
    """Name of the rule."""
    subject: str
    """Subject of the alert, such as `payment_processing`; empty if the rule has one alert. Not redacted."""


class RuleMatcher:
    """Finds the rules that count an event.

    Args:
        rules: The rules that this process evaluates, by name.
    """

    def __init__(self, rules: Mapping[str, AlertRule]) -> None:
        self._rules = {name: rule for name, rule in rules.items() if rule.is_counted}
        self.streams = frozenset(stream for rule in self._rules.values() for stream in rule.on)
        """Streams of single events that a rule counts."""

    def match(self, event: AlertEvent) -> list[RuleMatch]:
        """Return the rules that count the event."""
        return [
            RuleMatch(name, subject_of(rule.group_by, event))
            for name, rule in self._rules.items()
            if counts(rule, event)
        ]


def counts(rule: AlertRule, event: AlertEvent) -> bool:
    """Return whether the event meets every criterion of the rule."""
    return (
        event.stream in rule.on
        and (not rule.categories or event.category in rule.categories)
        and (not rule.severities or event.severity in rule.severities)
        and (not rule.kinds or event.stream != "breaches" or event.kind in rule.kinds)
        and (rule.source == "any" or event.mobile is (rule.source == "mobile"))
        and not (rule.unhandled and event.handled)
        and (not rule.operations or matches_any(event.operation, rule.operations))
        and name_matches(rule, event.name)
    )


def name_matches(rule: AlertRule, name: str) -> bool:
    """Return whether a name is among the rule's names and not among its exceptions."""
    return (not rule.names or matches_any(name, rule.names)) and not matches_any(name, rule.except_names)


def matches_any(text: str, patterns: Iterable[str]) -> bool:
    """Return whether a pattern matches the text. Case-sensitive; `*` matches anything."""
    return any(fnmatchcase(text, pattern) for pattern in patterns)


def subject_of(group_by: tuple[Grouping, ...], event: AlertEvent) -> str:
    """Return the properties of an event by which a rule groups its alerts."""
    parts = [str(getattr(event, name))[:_MAX_PART] or f"no {name}" for name in group_by]
    return _SEPARATOR.join(parts)
