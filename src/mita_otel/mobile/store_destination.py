"""Writes spans, breaches and errors of apps to the store, beside those of the backend."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

import orjson
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult

from mita_otel.mobile.app_spans import AppSpan, spans_of_item, spans_of_transaction
from mita_otel.mobile.destinations import Delivery, Destination
from mita_otel.mobile.envelope import EnvelopeBounds, EnvelopeError, parse_envelope
from mita_otel.mobile.otel_spans import error_record, resource_of, root_attributes, span_of
from mita_otel.mobile.spool_record import SpoolRecord
from mita_otel.policy import Policy
from mita_otel.store import StoreError, open_database

if TYPE_CHECKING:
    from mita_otel.store.exporter import StoreLogExporter, StoreSpanExporter, StoreWriter

_logger = logging.getLogger("mita_otel.mobile")

_OWN_BOUNDS: Final = EnvelopeBounds(1 << 20, 1 << 20)
"""Our own records were bounded when they were written."""


def store_destinations(policy: Policy, env: Mapping[str, str]) -> Callable[[str], Destination] | None:
    """Return the factory of store destinations by project name.

    None: no project uses the store, or it is unavailable.
    """
    if not any(project.store for project in policy.mobile.projects.values()):
        return None
    try:
        database = open_database(policy.store, env)
        from mita_otel.store.exporter import StoreWriter
    except StoreError as error:
        _logger.error("mobile telemetry does not reach the store: %s", error)
        return None
    writer = StoreWriter(database, migrate=policy.store.migrate)
    return lambda name: StoreDestination(writer, policy.mobile.projects[name].service)


class StoreDestination:
    """The store as the destination of one app.

    Args:
        writer: Writes the rows.
        service: The app's service name.
        clock: Seconds since the epoch.
    """

    def __init__(self, writer: StoreWriter, service: str, clock: Callable[[], float] = time.time) -> None:
        from mita_otel.store.exporter import StoreLogExporter, StoreSpanExporter

        self._spans: StoreSpanExporter = StoreSpanExporter(writer)
        self._errors: StoreLogExporter = StoreLogExporter(writer)
        self._service = service
        self._clock = clock

    def may_have(self, record: SpoolRecord) -> bool:
        """Return True: Sentry's rate limits do not apply to the store."""
        return True

    def deliver(self, record: SpoolRecord, payload: bytes) -> Delivery:
        """Write the content of a record."""
        try:
            spans, errors = self._read(record, payload)
        except (EnvelopeError, orjson.JSONDecodeError):
            return Delivery("rejected", "unreadable")
        if spans and self._spans.export(spans) is not SpanExportResult.SUCCESS:
            return Delivery("unavailable", "store")
        if errors and self._errors.export(errors) is not LogRecordExportResult.SUCCESS:
            return Delivery("unavailable", "store")
        return Delivery("delivered")

    def close(self) -> None:
        """Close the connections."""
        self._spans.shutdown()

    def _read(
        self, record: SpoolRecord, payload: bytes
    ) -> tuple[list[ReadableSpan], list[ReadableLogRecord]]:
        if record.form == "otlp_traces":
            from mita_otel.mobile.otlp import read_spans

            return list(read_spans(payload, self._service)), []
        spans: list[ReadableSpan] = []
        errors: list[ReadableLogRecord] = []
        for item in parse_envelope(b"{}\n" + payload, _OWN_BOUNDS).items:
            if item.type == "transaction":
                spans += self._transaction(orjson.loads(item.payload))
            elif item.type == "span":
                spans += self._streamed(orjson.loads(item.payload))
            elif item.type == "event":
                event = orjson.loads(item.payload)
                error = error_record(event, resource_of(event, self._service), self._clock())
                if error is not None:
                    errors.append(error)
        return spans, errors

    def _transaction(self, event: dict[str, Any]) -> Iterator[ReadableSpan]:
        resource = resource_of(event, self._service)
        for span in spans_of_transaction(event):
            yield span_of(span, resource, root_attributes(event) if span.is_root else None)

    def _streamed(self, value: dict[str, Any]) -> Iterator[ReadableSpan]:
        found: list[AppSpan] = list(spans_of_item(value))
        for span in found:
            yield span_of(span, resource_of(span.data, self._service))
