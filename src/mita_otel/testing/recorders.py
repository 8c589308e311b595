"""Recorders in the place of backends: they keep what they are asked to send."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Mapping, Sequence
from typing import Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.draft import Draft
from mita_otel.audit.log_record import emit_entry
from mita_otel.processors.breach_signal import BreachReport
from mita_otel.sentry.transport.ingest_client import Response


class SpanRecorder(SpanExporter):
    """Keeps spans, marked and redacted as for every exporter."""

    def __init__(self) -> None:
        self.items: list[ReadableSpan] = []

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Keep the spans."""
        self.items.extend(spans)
        return SpanExportResult.SUCCESS


class LogRecorder(LogRecordExporter):
    """Keeps log records, redacted as for every exporter."""

    def __init__(self) -> None:
        self.items: list[ReadableLogRecord] = []

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        """Keep the records."""
        self.items.extend(batch)
        return LogRecordExportResult.SUCCESS

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Return True: nothing is queued here."""
        return True

    def shutdown(self) -> None:
        """Do nothing: the records stay."""


class BreachRecorder:
    """Keeps exceeded limits."""

    def __init__(self) -> None:
        self.items: list[BreachReport] = []

    def on_breach(self, report: BreachReport, /) -> None:
        """Keep the report."""
        self.items.append(report)


class SentryRecorder:
    """Keeps the bodies of requests to Sentry, and answers as Sentry does."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.bodies: list[bytes] = []

    @property
    def post(self) -> Any:
        """A method for `IngestClient.post`."""

        def post(
            client: object, endpoint: str, body: bytes, headers: Mapping[str, str], **_: Any
        ) -> Response:
            compressed = headers.get("Content-Encoding") == "gzip"
            with self._lock:
                self.bodies.append(gzip.decompress(body) if compressed else body)
            return Response(200, {}, b"{}")

        return post


class AuditRecorder:
    """Keeps the entries of the audit trail, redacted.

    Args:
        log_records: Whether each entry becomes a log record as well.
    """

    def __init__(self, *, log_records: bool) -> None:
        self._log_records = log_records
        self.items: list[dict[str, Any]] = []

    def __call__(self, draft: Draft, receipt: AuditReceipt) -> None:
        """Keep an entry."""
        personal = {} if draft.personal is None else dict(draft.personal.values)
        self.items.append({**draft.fields, **personal, "chain": receipt.chain, "sequence": receipt.sequence})
        if self._log_records:
            emit_entry(draft, receipt)


class Recorders:
    """One recorder for each kind of telemetry.

    Args:
        log_audit_entries: Whether each audit entry becomes a log record as well.
    """

    def __init__(self, *, log_audit_entries: bool) -> None:
        self.spans = SpanRecorder()
        self.logs = LogRecorder()
        self.breaches = BreachRecorder()
        self.sentry = SentryRecorder()
        self.audit = AuditRecorder(log_records=log_audit_entries)
