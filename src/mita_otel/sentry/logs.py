"""Sends OpenTelemetry's log records as structured Sentry logs, linked to trace and span.

Source: Sentry's logs protocol, item type `log`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.trace import format_span_id, format_trace_id
from sentry_sdk.envelope import Envelope, Item, PayloadRef

from mita_otel import semconv
from mita_otel._json import json_bytes
from mita_otel.processors.queues.stage import deadline_in
from mita_otel.sentry.client import SentryLink
from mita_otel.sentry.mapping.attribute_values import json_value, seconds, typed_attributes
from mita_otel.sentry.transport.sender_identity import Identity

MAX_RECORDS: Final = 100
"""Maximum number of records in one item, as in sentry-sdk."""
CONTENT_TYPE: Final = "application/vnd.sentry.items.log+json"

_LEVELS: Final = ((21, "fatal"), (17, "error"), (13, "warn"), (9, "info"), (5, "debug"), (0, "trace"))
"""Lowest OpenTelemetry severity number of each level."""


class SentryLogExporter(LogRecordExporter):
    """Sends log records to Sentry.

    Records must be redacted already: put the exporter behind a `LogRedactionProcessor`, as `configure()` does.

    Args:
        link: The client, from `start_client`.
    """

    def __init__(self, link: SentryLink) -> None:
        self._link = link

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Queue the records."""
        for items in _parts(batch):
            common = _common_attributes(self._link.identity)
            records = [self._record(one, common) for one in items]
            payload = PayloadRef(bytes=json_bytes({"version": 2, "items": records}))
            item = Item(payload, {"item_count": len(records)}, type="log", content_type=CONTENT_TYPE)
            self._link.send(Envelope(items=[item]))
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Send everything that is queued, within `timeout_millis`."""
        return self._link.flush(deadline_in(timeout_millis))

    def shutdown(self) -> None:
        """Do nothing: the client is a stage and is closed as such."""

    def _record(self, emitted: ReadableLogRecord, common: Mapping[str, Any]) -> dict[str, Any]:
        record = emitted.log_record
        number = record.severity_number.value if record.severity_number else 9
        scope = emitted.instrumentation_scope
        attributes: dict[str, Any] = {
            **{str(name): json_value(value) for name, value in (record.attributes or {}).items()},
            **common,
            "sentry.severity_number": number,
            "sentry.severity_text": record.severity_text,
            "logger.name": scope.name if scope else None,
            "event.name": record.event_name,
            semconv.SERVICE_NAME: emitted.resource.attributes.get(semconv.SERVICE_NAME),
        }
        shown: dict[str, Any] = {
            "timestamp": seconds(record.timestamp or record.observed_timestamp),
            "level": next(level for lowest, level in _LEVELS if number >= lowest),
            "body": record.body
            if isinstance(record.body, str)
            else json_bytes(json_value(record.body)).decode(),
            "trace_id": format_trace_id(record.trace_id or 0),
            "attributes": typed_attributes(attributes),
        }
        if record.span_id:
            shown["span_id"] = format_span_id(record.span_id)
        return shown


def _common_attributes(identity: Identity) -> dict[str, Any]:
    return {
        "sentry.environment": identity.environment,
        "sentry.release": identity.release,
        "sentry.sdk.name": (identity.sdk or {}).get("name"),
        "sentry.sdk.version": (identity.sdk or {}).get("version"),
        "server.address": identity.server_name,
    }


def _parts(batch: Sequence[ReadableLogRecord]) -> Iterator[Sequence[ReadableLogRecord]]:
    for first in range(0, len(batch), MAX_RECORDS):
        yield batch[first : first + MAX_RECORDS]
