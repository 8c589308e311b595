"""The `store` exporter: kept traces, breaches, redactions and errors go to the store, in batches, off the request path."""

from __future__ import annotations

import logging
import os
from collections.abc import Sequence
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult
from sqlalchemy.exc import SQLAlchemyError

from mita_otel.policy import load_policy
from mita_otel.store import open_database
from mita_otel.store.additions import add, add_counts, add_missing
from mita_otel.store.database import Database
from mita_otel.store.errors import StoreError, first_line
from mita_otel.store.migrate import require
from mita_otel.store.rows import RedactionReport, breach_row, error_row, redaction_rows, span_row
from mita_otel.store.seen_errors import SeenErrors
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, RedactionRow, SpanRow

_logger = logging.getLogger("mita_otel")


class StoreWriter:
    """Writes rows to the store; what cannot be written is said once and left to whoever counts losses.

    Args:
        database: The store.
        migrate: Whether tables may be made where they are missing.
    """

    def __init__(self, database: Database, *, migrate: bool) -> None:
        self.database = database
        self._migrate = migrate
        self._ready = False
        self._said = ""

    def write(
        self,
        *,
        spans: Sequence[dict[str, Any]] = (),
        breaches: Sequence[dict[str, Any]] = (),
        redactions: Sequence[dict[str, Any]] = (),
        errors: Sequence[dict[str, Any]] = (),
    ) -> bool:
        """Write the rows in one transaction. False if they could not be written: then none of them is there."""
        try:
            if not self._ready:
                require(self.database, migrate=self._migrate)
                self._ready = True
            with self.database.write() as connection:
                add_missing(connection, table_of(SpanRow), spans)
                add(connection, table_of(BreachRow), breaches)
                add(connection, table_of(ErrorRow), errors)
                keys = ("hour_ns", "service", "environment", "rule")
                add_counts(connection, table_of(RedactionRow), keys, redactions)
        except (StoreError, SQLAlchemyError) as error:
            reason = first_line(error)
            if reason != self._said:
                self._said = reason
                _logger.error("telemetry does not reach the store: %s", reason)
            return False
        self._said = ""
        return True


class StoreSpanExporter(SpanExporter):
    """Keeps traces, breaches and counts of redactions in the store.

    Args:
        writer: Writes the rows. None: to the database that `MITA_OTEL_DATABASE_URL` or the policy names.
    """

    def __init__(self, writer: StoreWriter | None = None) -> None:
        self.writer = writer or default_writer()

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write the spans. FAILURE if the store cannot be written: they are lost, and counted by the queue."""
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
    """Keeps errors, security events and compliance events in the store; of other log records, nothing.

    Records come redacted: put it behind a `LogRedactionProcessor`, as `configure()` does.

    Args:
        writer: Writes the rows. None: to the database that `MITA_OTEL_DATABASE_URL` or the policy names.
    """

    def __init__(self, writer: StoreWriter | None = None) -> None:
        self.writer = writer or default_writer()
        self._seen = SeenErrors()

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Write the records that are to be kept."""
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
        """Return True: nothing waits here."""
        return True

    def shutdown(self) -> None:
        """Close the connections."""
        self.writer.database.close()


def default_writer() -> StoreWriter:
    """Return a writer to the store that the environment or the policy names.

    Raises:
        StoreError: It cannot be opened.
    """
    policy = load_policy().store
    return StoreWriter(open_database(policy, os.environ), migrate=policy.migrate)
