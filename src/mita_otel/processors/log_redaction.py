"""The redaction boundary for log records: body, attributes and exception are redacted before any exporter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from mita_otel import semconv
from mita_otel._otel_compat.logs import unlimited_log_records
from mita_otel.errors import raise_interrupt
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.processors.finished_spans import attribute_bytes
from mita_otel.processors.redaction import RedactedOrigins, report
from mita_otel.processors.value_lengths import ValueLengths
from mita_otel.redaction import Findings, Redactor
from mita_otel.redaction.marker import DEPTH
from mita_otel.redaction.placeholders import text_of

_logger = logging.getLogger("mita_otel")

_WITHHELD: Final = "[redacted:error]"
_RECORD_BYTES: Final = 512
"""Approximate bytes of a record without its contents."""
_MAX_DEPTH: Final = 64
"""More than the redactor reads."""


class LogRedaction:
    """Redacts log records. `snapshot` runs on the thread that emits a record; `redacted` may run on another one, later.

    Args:
        redactor: The redactor.
        recorded_lengths: Lengths at which the provider cuts values. None given: those that the environment sets.
    """

    def __init__(self, redactor: Redactor, *, recorded_lengths: Sequence[int | None] = ()) -> None:
        self.failures = 0
        """Records that could not be redacted."""
        self._redactor = redactor
        self._origins = RedactedOrigins(redactor)
        self._lengths = ValueLengths.of_log_records(*recorded_lengths, find=redactor.find)
        self._reported = threading.Event()

    def snapshot(self, emitted: ReadWriteLogRecord) -> ReadWriteLogRecord:
        """Return a copy of a record that later changes by the application do not affect. It is not redacted.

        Its exception is represented by type and message, because the exception's text can change.
        """
        record = emitted.log_record
        return _copy(
            emitted,
            resource=emitted.resource,
            scope=emitted.instrumentation_scope,
            body=_frozen(record.body, 0),
            attributes={name: _frozen(value, 0) for name, value in _attributes(record).items()},
            event_name=record.event_name,
            severity_text=record.severity_text,
        )

    @staticmethod
    def size(emitted: ReadWriteLogRecord) -> int:
        """Return the approximate size of a record in bytes."""
        record = emitted.log_record
        return _RECORD_BYTES + attribute_bytes(record.attributes) + attribute_bytes({"body": record.body})

    def redacted(self, emitted: ReadWriteLogRecord) -> ReadWriteLogRecord:
        """Return a redacted copy of a record. If it cannot be redacted, the copy has ids, times and severity only."""
        try:
            return self._redacted(emitted)
        except BaseException as error:  # noqa: BLE001 - fail closed, also after a Rust panic
            raise_interrupt(error)
            self.failures += 1
            if not self._reported.is_set():
                self._reported.set()
                _logger.warning(
                    "a log record could not be redacted; it is passed on without body and attributes; "
                    "further failures are only counted"
                )
            return _stripped(emitted)

    def _redacted(self, emitted: ReadWriteLogRecord) -> ReadWriteLogRecord:
        findings = self._redactor.findings(emitted.log_record.trace_id)
        known = len(findings.known)
        body, attributes, event_name, severity = self._parts(emitted.log_record, findings)
        if len(findings.known) > known:  # redact again: earlier parts may hold the secret as well
            findings.clear()
            body, attributes, event_name, severity = self._parts(emitted.log_record, findings)
        attributes = self._lengths.cut(attributes, emitted.log_record.attributes) or attributes
        if findings:
            attributes.update(report(findings, attributes))
        return _copy(
            emitted,
            resource=None if emitted.resource is None else self._origins.resource(emitted.resource),
            scope=self._origins.scope(emitted.instrumentation_scope),
            body=_any_value(body),
            attributes={key: _any_value(value) for key, value in attributes.items()},
            event_name=event_name,
            severity_text=severity,
        )

    def _parts(
        self, record: LogRecord, findings: Findings
    ) -> tuple[Any, dict[str, Any], str | None, str | None]:
        """Return the redacted body, attributes, event name and severity of a record."""
        attributes = dict(self._lengths.redacted_ends(_attributes(record), findings))
        text = self._redactor.text
        return (
            self._redactor.value("", record.body, findings),
            self._redactor.attributes(attributes, findings),
            text(record.event_name, findings) if record.event_name else record.event_name,
            text(record.severity_text, findings) if record.severity_text else record.severity_text,
        )


class LogRedactionProcessor(LogRecordProcessor):
    """Passes on redacted copies of log records.

    The application's record stays unchanged, since other processors share it. The copy has no exception object, since
    an exporter could read the raw message from it. Type, message and stack trace are redacted attributes instead.

    Fails closed: if a record cannot be redacted, only its ids, times and severity are passed on.

    Args:
        redaction: The policy section, or a redactor.
        next_processor: Receives the records.
        recorded_lengths: Lengths at which the provider cuts values. None given: those that the environment sets.
    """

    def __init__(
        self,
        redaction: RedactionPolicy | Redactor,
        next_processor: LogRecordProcessor,
        *,
        recorded_lengths: Sequence[int | None] = (),
    ) -> None:
        self.next_processor = next_processor
        redactor = redaction if isinstance(redaction, Redactor) else Redactor(redaction)
        self._redaction = LogRedaction(redactor, recorded_lengths=recorded_lengths)

    @property
    def failures(self) -> int:
        """Records that could not be redacted."""
        return self._redaction.failures

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Redact the record and pass the copy on."""
        self.next_processor.on_emit(self._redaction.redacted(log_record))

    def enabled(
        self,
        *,
        context: Context | None = None,
        instrumentation_scope: InstrumentationScope | None = None,
        severity_number: SeverityNumber | None = None,
        event_name: str | None = None,
    ) -> bool:
        """Return whether the next processor is enabled."""
        return self.next_processor.enabled(
            context=context,
            instrumentation_scope=instrumentation_scope,
            severity_number=severity_number,
            event_name=event_name,
        )

    def shutdown(self) -> None:
        """Shut the next processor down."""
        self.next_processor.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Flush the next processor."""
        return self.next_processor.force_flush(timeout_millis)


def _attributes(record: LogRecord) -> dict[str, Any]:
    """Return the attributes of a record, and those of its exception."""
    attributes = dict(record.attributes or {})
    exception = getattr(record, "exception", None)
    if exception is not None:
        attributes.setdefault(semconv.EXCEPTION_TYPE, type(exception).__qualname__)
        attributes.setdefault(semconv.EXCEPTION_MESSAGE, text_of(exception))
    return attributes


def _frozen(value: Any, depth: int) -> Any:
    """Return a value with copies of its containers. The redactor replaces what is nested more deeply, unread."""
    if depth > _MAX_DEPTH:
        return DEPTH
    if isinstance(value, Mapping):
        return {key: _frozen(member, depth + 1) for key, member in value.items()}
    if isinstance(value, (list, tuple)):
        return [_frozen(member, depth + 1) for member in value]
    return value


def _any_value(value: Any) -> Any:
    """Return a redacted value as one that exporters can encode: a value of another type, such as a date, as its text."""
    if value is None or isinstance(value, (str, bool, int, float, bytes)):
        return value
    if isinstance(value, Mapping):
        return {str(key): _any_value(member) for key, member in value.items()}
    if isinstance(value, Sequence):
        return [_any_value(member) for member in value]
    return str(value)


def _stripped(emitted: ReadWriteLogRecord) -> ReadWriteLogRecord:
    return _copy(
        emitted,
        resource=Resource({}),
        scope=None,
        body=_WITHHELD,
        attributes={semconv.REDACTED: 1, semconv.REDACTED_RULES: ("error:1",)},
    )


def _copy(
    emitted: ReadWriteLogRecord,
    *,
    resource: Resource | None,
    scope: InstrumentationScope | None,
    body: Any,
    attributes: dict[str, Any],
    event_name: str | None = None,
    severity_text: str | None = None,
) -> ReadWriteLogRecord:
    """Return a copy with other contents. It has no length limits: they were applied to the original."""
    record = emitted.log_record
    copy = LogRecord(
        timestamp=record.timestamp,
        observed_timestamp=record.observed_timestamp,
        context=record.context,
        severity_text=severity_text,
        severity_number=record.severity_number,
        body=body,
        attributes=attributes,
        event_name=event_name,
    )
    copy.trace_id, copy.span_id, copy.trace_flags = record.trace_id, record.span_id, record.trace_flags
    return ReadWriteLogRecord(
        log_record=copy, resource=resource, instrumentation_scope=scope, limits=unlimited_log_records()
    )
