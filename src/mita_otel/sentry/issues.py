"""Sends errors to Sentry as issues: log records with an exception or an event id, and exceptions on spans."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from sentry_sdk import Scope, get_current_scope, get_global_scope, get_isolation_scope
from sentry_sdk.client import BaseClient

from mita_otel import _sentry_compat, semconv
from mita_otel.captured import event_id_of, is_dropped, is_existing_issue, request_of
from mita_otel.errors import raise_interrupt
from mita_otel.finance.reported_errors import report_recorded
from mita_otel.processors.captured_exceptions import CapturedExceptions, is_expected
from mita_otel.sentry.before_send import IS_DESCRIBED, TRACE_IS_SET
from mita_otel.sentry.dropped_errors import recorded_exc_info
from mita_otel.sentry.mapping.attribute_values import seconds
from mita_otel.sentry.mapping.issue_event import enrich, extra_of, level_of, recorded_exception, trace_context
from mita_otel.sentry.mapping.tags import tags_of

_logger = logging.getLogger("mita_otel")

_ERROR: Final = 17
"""Lowest severity number of an error."""
_MAX_BODY: Final = {"never": -1, "small": 1_000, "medium": 10_000}
"""Maximum bytes of a request's body, by sentry-sdk's option `max_request_body_size`. `always` has none."""
_LINES: Final = frozenset({"code.line.number", "code.lineno"})


class Issues(LogRecordProcessor):
    """Sends each error to Sentry once. Logged exceptions are sent immediately, with stack and local variables.

    A log record becomes an issue if it is an error with an exception, or if it has the attribute `mita.event.id`.
    An exception that is recorded on a span becomes an issue when the span's transaction is sent, unless it was
    captured before.

    Args:
        client: Returns sentry-sdk's client. Its `before_send` hook redacts each event.
        captured: Exceptions that became issues.
        ignored: Qualified names of exception types that are not errors, such as those for HTTP responses.
    """

    def __init__(
        self, client: Callable[[], BaseClient], captured: CapturedExceptions, ignored: tuple[str, ...] = ()
    ) -> None:
        self._client = client
        self._captured = captured
        self._ignored = frozenset(ignored)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Send the record as an issue if it is an error. Never raises."""
        try:
            self._capture_record(log_record)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("an error could not be sent to Sentry", exc_info=True)

    def capture_recorded(self, spans: Sequence[ReadableSpan]) -> None:
        """Send the exceptions recorded on the redacted spans of a tree, unless they were captured before."""
        for span in spans:
            for recorded in span.events:
                if recorded.name == semconv.EXCEPTION_EVENT:
                    try:
                        self._capture_event(span, recorded, spans)
                    except BaseException as error:
                        raise_interrupt(error)
                        _logger.debug("an error could not be sent to Sentry", exc_info=True)

    def shutdown(self) -> None:
        """Do nothing, because the exporter closes the client."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True, because nothing is queued here."""
        return True

    def _capture_record(self, emitted: ReadWriteLogRecord) -> None:
        record = emitted.log_record
        attributes = dict(record.attributes or {})
        exception: BaseException | None = getattr(record, "exception", None)
        number = record.severity_number.value if record.severity_number else _ERROR
        event_id = attributes.get(semconv.EVENT_ID)
        if is_existing_issue(event_id):
            return
        ours = str(record.event_name or "").startswith("mita.")
        if event_id is None and (ours or exception is None or number < _ERROR):
            return
        if event_id is None and _is_of_logging(emitted):
            return  # sentry-sdk's integration of logging reports it, or ignores its logger
        client = self._client()
        hint: dict[str, Any] = {}
        event: Any = {"logentry": {"formatted": str(record.body)}}
        if exception is not None:
            if (event_id_of(exception) or event_id) != event_id or is_dropped(exception):
                return
            mechanism = {
                "type": record.event_name or "opentelemetry",
                "handled": bool(attributes.get(semconv.HANDLED, False)),
            }
            event, hint = _sentry_compat.exception_event(exception, client, mechanism)
            request = request_of(exception)
            if request:
                event["request"] = _bounded(request, client)
        if ours:
            hint[IS_DESCRIBED] = True
        event["event_id"] = str(event_id or uuid4().hex)
        event["level"] = level_of(number)
        event["timestamp"] = seconds(record.timestamp or record.observed_timestamp)
        event["logger"] = emitted.instrumentation_scope.name if emitted.instrumentation_scope else "otel"
        if record.trace_id and record.span_id:
            event["contexts"] = {"trace": trace_context(record.trace_id, record.span_id)}
            hint[TRACE_IS_SET] = True
        enrich(event, attributes, emitted.resource.attributes if emitted.resource else {})
        extra = extra_of(attributes)
        if extra:
            event["extra"] = extra
        client.capture_event(event, hint, self._scope())

    @staticmethod
    def _scope() -> Scope:
        """Return a new scope for this event, with the content of the service's scopes.

        While sentry-sdk applies a scope to an event, it rejects other events with the same scope. Threads share a
        scope unless the service forks it.
        """
        scope = Scope()
        for source in (get_global_scope(), get_isolation_scope(), get_current_scope()):
            scope.update_from_scope(source)
        return scope

    def _capture_event(self, span: ReadableSpan, recorded: Event, tree: Sequence[ReadableSpan]) -> None:
        name = str((recorded.attributes or {}).get(semconv.EXCEPTION_TYPE) or "Exception")
        if span.context is None or name in self._ignored or is_expected(name, tree):
            return
        event = recorded_exception(span, recorded, tree)
        frames = event["exception"]["values"][0].get("stacktrace", {}).get("frames", [])
        place = f"{frames[-1]['abs_path']}:{frames[-1]['lineno']}" if frames else ""
        if self._captured.add(span.context.trace_id, name.rpartition(".")[2], place):
            event_id = uuid4().hex
            described = report_recorded(
                event_id, span.attributes or {}, span.context, recorded.attributes or {}
            )
            event["tags"] = {**event.get("tags", {}), **tags_of(described, {})}
            message = event["exception"]["values"][0]["value"]
            hint = {TRACE_IS_SET: True, IS_DESCRIBED: True, **recorded_exc_info(name, message)}
            # Event processors apply to events with a scope. This thread does not have the request's.
            self._client().capture_event({"event_id": event_id, **event}, hint, _global_scope())


def _global_scope() -> Scope:
    scope = Scope()
    scope.update_from_scope(get_global_scope())
    return scope


def _is_of_logging(emitted: ReadWriteLogRecord) -> bool:
    """Return whether a record comes from standard logging: its scope is a logger, and it has a source line."""
    scope = emitted.instrumentation_scope
    attributes = emitted.log_record.attributes or {}
    return (
        scope is not None
        and not _LINES.isdisjoint(attributes)
        and (scope.name in logging.root.manager.loggerDict or scope.name == logging.root.name)
    )


def _bounded(request: Mapping[str, Any], client: BaseClient) -> dict[str, Any]:
    """Return a request without its body, if the client's `max_request_body_size` excludes it."""
    limit = _MAX_BODY.get(str(client.options.get("max_request_body_size")))
    kept = dict(request)
    if limit is not None and "data" in kept:
        length = str((kept.get("headers") or {}).get("content-length", ""))
        if (int(length) if length.isdecimal() else len(str(kept["data"]))) > limit:
            del kept["data"]
    return kept
