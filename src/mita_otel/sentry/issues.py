"""Errors as Sentry issues: log records that carry an exception or ask for an issue, and exceptions on spans."""

from __future__ import annotations

import logging
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from opentelemetry.sdk._logs import LogRecordProcessor, ReadWriteLogRecord
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.trace import format_span_id, format_trace_id
from sentry_sdk import get_current_scope
from sentry_sdk.client import BaseClient
from sentry_sdk.utils import event_from_exception

from mita_otel import semconv
from mita_otel.captured import event_id_of, request_of
from mita_otel.sentry.stacktrace import innermost, parse_stacktrace
from mita_otel.sentry.tags import MAX_TAG, TAG_OF
from mita_otel.sentry.transaction import plain, seconds

_logger = logging.getLogger("mita_otel")

_LEVELS = ((21, "fatal"), (17, "error"), (13, "warning"), (9, "info"), (0, "debug"))
"""Sentry's level by OpenTelemetry's severity number, the lowest of each range."""

_ERROR = 17

Fingerprint = tuple[int, str, str]
"""Trace id, type and innermost place of an exception."""


class Issues(LogRecordProcessor):
    """Sends errors to Sentry: as they are logged, with the stack and its local variables, each once.

    A log record becomes an issue if it carries an exception and is an error, or if it says so itself
    (`mita.event.id`). An exception that somebody recorded on a span becomes one when the span is exported,
    unless it was captured before.

    Args:
        client: sentry-sdk's client. Every event passes its `before_send`, where it is redacted.
        max_captured: Issues that are remembered.
    """

    def __init__(self, client: BaseClient, max_captured: int) -> None:
        self._client = client
        self._max_captured = max_captured
        self._captured: OrderedDict[Fingerprint, None] = OrderedDict()
        self._lock = threading.Lock()

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Send the record as an issue, if it is one. Never raises."""
        try:
            self._capture_record(log_record)
        except Exception:
            _logger.debug("an error could not be sent to Sentry", exc_info=True)

    def capture_recorded(self, span: ReadableSpan) -> None:
        """Send the exceptions that were recorded on a finished, redacted span and not captured otherwise."""
        for event in span.events:
            if event.name == semconv.EXCEPTION_EVENT and span.context is not None:
                self._capture_event(span, event)

    def shutdown(self) -> None:
        """Nothing to do: the client belongs to the exporter."""

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Nothing waits here."""
        return True

    def _capture_record(self, emitted: ReadWriteLogRecord) -> None:
        record = emitted.log_record
        attributes = dict(record.attributes or {})
        exception: BaseException | None = getattr(record, "exception", None)
        number = record.severity_number.value if record.severity_number else _ERROR
        event_id = attributes.get(semconv.EVENT_ID)
        own = str(record.event_name or "").startswith("mita.")
        if event_id is None and (own or exception is None or number < _ERROR):
            return
        hint: dict[str, Any] = {}
        event: Any = {"logentry": {"formatted": str(record.body)}}
        if exception is not None:
            known = event_id_of(exception)
            if known is not None and known != event_id:
                return
            self._remember(
                (record.trace_id or 0, type(exception).__name__, innermost(exception.__traceback__))
            )
            mechanism = {
                "type": record.event_name or "opentelemetry",
                "handled": bool(attributes.get(semconv.HANDLED, False)),
            }
            event, hint = event_from_exception(exception, self._client.options, mechanism)
            event["request"] = dict(request_of(exception) or {})
        event["event_id"] = str(event_id or uuid4().hex)
        event["level"] = next(level for lowest, level in _LEVELS if number >= lowest)
        event["timestamp"] = seconds(record.timestamp or record.observed_timestamp)
        event["logger"] = emitted.instrumentation_scope.name if emitted.instrumentation_scope else "otel"
        if record.trace_id and record.span_id:
            event["contexts"] = {"trace": _trace(record.trace_id, record.span_id)}
        _describe(event, attributes)
        component = emitted.resource.attributes.get(semconv.SERVICE_NAME) if emitted.resource else None
        if component:
            event["tags"]["component"] = str(component)[:MAX_TAG]
        self._client.capture_event(event, hint, get_current_scope())

    def _capture_event(self, span: ReadableSpan, recorded: Event) -> None:
        attributes = recorded.attributes or {}
        text = str(attributes.get(semconv.EXCEPTION_STACKTRACE) or "")
        frames = parse_stacktrace(text)
        place = f"{frames[-1]['abs_path']}:{frames[-1]['lineno']}" if frames else ""
        name = str(attributes.get(semconv.EXCEPTION_TYPE) or "Exception")
        module, _, short = name.rpartition(".")
        assert_context = span.context
        if assert_context is None or not self._remember((assert_context.trace_id, short, place)):
            return
        value: dict[str, Any] = {
            "type": short,
            "value": str(attributes.get(semconv.EXCEPTION_MESSAGE) or ""),
            "mechanism": {"type": "opentelemetry.record_exception", "handled": True},
        }
        if module:
            value["module"] = module
        if frames:
            value["stacktrace"] = {"frames": frames}
        event: dict[str, Any] = {
            "event_id": uuid4().hex,
            "level": "error",
            "timestamp": seconds(recorded.timestamp),
            "exception": {"values": [value]},
            "contexts": {"trace": _trace(assert_context.trace_id, assert_context.span_id)},
        }
        _describe(event, dict(span.attributes or {}))
        component = span.resource.attributes.get(semconv.SERVICE_NAME)
        if component:
            event["tags"]["component"] = str(component)[:MAX_TAG]
        self._client.capture_event(event, {}, None)

    def _remember(self, fingerprint: Fingerprint) -> bool:
        """Remember an exception. False if it was remembered before."""
        with self._lock:
            if fingerprint in self._captured:
                return False
            self._captured[fingerprint] = None
            if len(self._captured) > self._max_captured:
                self._captured.popitem(last=False)
            return True


def _trace(trace_id: int, span_id: int) -> dict[str, Any]:
    return {"type": "trace", "trace_id": format_trace_id(trace_id), "span_id": format_span_id(span_id)}


def _describe(event: dict[str, Any], attributes: Mapping[str, Any]) -> None:
    """Add what the attributes say: tags, user, contexts, fingerprint, breadcrumbs, transaction."""
    event["tags"] = _tags(attributes)
    contexts = attributes.get(semconv.CONTEXTS)
    if isinstance(contexts, Mapping):
        own = {
            str(name): plain(context) for name, context in contexts.items() if name not in {"user", "request"}
        }
        event.setdefault("contexts", {}).update(own)
        for interface in ("user", "request"):
            if isinstance(contexts.get(interface), Mapping):
                event[interface] = {**event.get(interface, {}), **plain(contexts[interface])}
    user_id = attributes.get(semconv.USER_ID)
    if user_id is not None:
        event["user"] = {**event.get("user", {}), "id": str(user_id)}
    fingerprint = attributes.get(semconv.FINGERPRINT)
    if isinstance(fingerprint, list | tuple):
        event["fingerprint"] = [str(part) for part in fingerprint]
    breadcrumbs = attributes.get(semconv.BREADCRUMBS)
    if isinstance(breadcrumbs, list | tuple):
        event["breadcrumbs"] = {"values": plain(breadcrumbs)}
    route = attributes.get(semconv.HTTP_ROUTE[0])
    method = semconv.first(attributes, semconv.HTTP_METHOD) or event.get("request", {}).get("method")
    if route and method:
        event["transaction"] = f"{method} {route}"
    extra = {
        str(name): plain(value)
        for name, value in attributes.items()
        if not str(name).startswith(("mita.", "exception."))
    }
    if extra:
        event["extra"] = extra


def _tags(attributes: Mapping[str, Any]) -> dict[str, str]:
    tags = {
        tag: str(attributes[name])[:MAX_TAG]
        for tag, name in TAG_OF.items()
        if attributes.get(name) is not None
    }
    if semconv.ERROR_CATEGORY in attributes or semconv.OPERATION in attributes:
        tags["financial_service"] = "true"
    more = attributes.get(semconv.TAGS)
    if isinstance(more, Mapping):
        tags.update({str(tag): str(value)[:MAX_TAG] for tag, value in more.items()})
    return tags
