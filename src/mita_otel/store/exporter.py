"""The `store` exporter: writes kept traces, breaches, redactions and errors to the store."""

from __future__ import annotations

import logging
import os
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any, Final

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from sqlalchemy.exc import SQLAlchemyError

from mita_otel.policy import load_policy
from mita_otel.store import open_database
from mita_otel.store.database import Database, add_counts, insert_missing_rows, insert_rows
from mita_otel.store.errors import StoreError, first_line
from mita_otel.store.migrate import require
from mita_otel.store.rows import RedactionReport, breach_row, error_row, redaction_rows, span_row
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, RedactionRow, SpanRow

_logger = logging.getLogger("mita_otel")

_MAX_EXCEPTIONS: Final = 1024
"""Exceptions that are remembered."""
_SAME_EXCEPTION_NS: Final = 5_000_000_000
"""Maximum distance between a record with a trace and one without, about the same exception."""


class StoreWriter:
    """Writes rows to the store. A failure is logged once; the caller counts the loss.

    Args:
        database: The store.
        migrate: Whether missing tables may be created.
    """

    def __init__(self, database: Database, *, migrate: bool) -> None:
        self.database = database
        self._migrate = migrate
        self._ready = False
        self._reported = ""

    def write(
        self,
        *,
        spans: Sequence[dict[str, Any]] = (),
        breaches: Sequence[dict[str, Any]] = (),
        redactions: Sequence[dict[str, Any]] = (),
        errors: Sequence[dict[str, Any]] = (),
    ) -> bool:
        """Write the rows in one transaction. Returns False if no row could be written."""
        try:
            if not self._ready:
                require(self.database, migrate=self._migrate)
                self._ready = True
            with self.database.write() as connection:
                insert_missing_rows(connection, table_of(SpanRow), spans)
                insert_rows(connection, table_of(BreachRow), breaches)
                insert_rows(connection, table_of(ErrorRow), errors)
                keys = ("hour_ns", "service", "environment", "rule")
                add_counts(connection, table_of(RedactionRow), keys, redactions)
        except (StoreError, SQLAlchemyError) as error:
            reason = first_line(error)
            if reason != self._reported:
                self._reported = reason
                _logger.error("telemetry cannot be written to the store: %s", reason)
            return False
        self._reported = ""
        return True


class StoreSpanExporter(SpanExporter):
    """Writes traces, breaches and counts of redactions to the store.

    Args:
        writer: Writes the rows. None: a writer to the database that `MITA_OTEL_DATABASE_URL` or the policy names.
    """

    def __init__(self, writer: StoreWriter | None = None) -> None:
        self.writer = writer or default_writer()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans. Returns FAILURE if the store cannot be written; the queue counts the loss."""
        written = self.writer.write(
            spans=[row for span in spans if (row := span_row(span)) is not None],
            breaches=[row for span in spans if (row := breach_row(span)) is not None],
            redactions=redaction_rows(
                RedactionReport(span.end_time or 0, span.attributes or {}, span.resource.attributes)
                for span in spans
            ),
        )
        return SpanExportResult.SUCCESS if written else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        """Close the connections."""
        self.writer.database.close()


class StoreLogExporter(LogRecordExporter):
    """Writes errors, security events and compliance events to the store, and ignores other log records.

    It expects redacted records: put it behind a `LogRedactionProcessor`, as `configure()` does.

    Args:
        writer: Writes the rows. None: a writer to the database that `MITA_OTEL_DATABASE_URL` or the policy names.
    """

    def __init__(self, writer: StoreWriter | None = None) -> None:
        self.writer = writer or default_writer()
        self._seen = ErrorDeduplicator()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write the records that are kept."""
        errors = self._seen.first_of_each(row for one in batch if (row := error_row(one)) is not None)
        redactions = redaction_rows(
            RedactionReport(
                one.log_record.timestamp or one.log_record.observed_timestamp or 0,
                one.log_record.attributes or {},
                one.resource.attributes if one.resource else {},
            )
            for one in batch
        )
        if (errors or redactions) and not self.writer.write(errors=errors, redactions=redactions):
            return LogRecordExportResult.FAILURE
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: there is no queue."""
        return True

    def shutdown(self) -> None:
        """Close the connections."""
        self.writer.database.close()


class ErrorDeduplicator:
    """Keeps one record for each exception, though the service, its server and its framework may all log it.

    Of several records, the one with an event id is kept.
    """

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str, str], int] = OrderedDict()

    def first_of_each(self, rows: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the rows without further records of an exception that was kept before."""
        kept = []
        for row in sorted(rows, key=lambda one: (one["event_id"] is None, one["trace_id"] is None)):
            if row["event_id"] is not None or not self._is_known(row):
                kept.append(row)
            self._remember((row["trace_id"] or "", row["name"], row["message"]), row["occurred_ns"])
        return kept

    def _is_known(self, row: dict[str, Any]) -> bool:
        if row["trace_id"] is not None:
            return (row["trace_id"], row["name"], row["message"]) in self._seen
        at_ns = self._seen.get(("*", row["name"], row["message"]))
        return at_ns is not None and abs(row["occurred_ns"] - at_ns) < _SAME_EXCEPTION_NS

    def _remember(self, key: tuple[str, str, str], at_ns: int) -> None:
        trace_id, name, message = key
        # Two records without a trace may be about different exceptions.
        for one in (key, ("*", name, message)) if trace_id else ():
            self._seen[one] = at_ns
            self._seen.move_to_end(one)
        while len(self._seen) > _MAX_EXCEPTIONS:
            self._seen.popitem(last=False)


def default_writer() -> StoreWriter:
    """Return a writer to the store that the environment or the policy names.

    Raises:
        StoreError: The store cannot be opened.
    """
    policy = load_policy().store
    return StoreWriter(open_database(policy, os.environ), migrate=policy.migrate)
