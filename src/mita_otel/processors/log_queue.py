"""The last log processor: a bounded queue in front of one exporter, so that a slow one holds nobody up."""

from __future__ import annotations

import logging

from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from mita_otel.policy.sections import QueuePolicy
from mita_otel.processors.losses import Losses
from mita_otel.processors.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")


class LogQueue(LogRecordProcessor):
    """Exports log records in batches on a thread of its own.

    Unlike the SDK's batch processor it keeps the deadlines it is given and counts what it loses, by reason.

    Args:
        name: The exporter's name, for counts and messages.
        exporter: Where the records go.
        queue: Bounds of the queue.
        losses: Where lost records are counted.
        stop_timeout_s: Seconds that the exporter's own shutdown may take.
    """

    def __init__(
        self,
        name: str,
        exporter: LogRecordExporter,
        queue: QueuePolicy,
        losses: Losses,
        *,
        stop_timeout_s: float,
    ) -> None:
        self._stage = f"logs.{name}"
        self._exporter = exporter
        self._losses = losses
        self._reported = False
        self._stuck = False
        self._stop_timeout_s = stop_timeout_s
        self._worker: BoundedWorker[ReadableLogRecord] = BoundedWorker(
            self._export,
            name=f"mita-otel-logs-{name}",
            max_items=queue.exporter_max_spans,
            max_batch=queue.max_batch,
            delay_s=queue.delay_ms / 1000,
            on_flush=self._flush_exporter,
            on_stop=exporter.shutdown,
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue the record."""
        readable = ReadableLogRecord(
            log_record=log_record.log_record,
            resource=log_record.resource or Resource.get_empty(),
            instrumentation_scope=log_record.instrumentation_scope,
            limits=log_record.limits,
        )
        if not self._worker.put(readable):
            self._losses.add(self._stage, "queue_full")

    def shutdown(self) -> None:
        """Let the thread shut the exporter down. One that did not flush in time gets no more time."""
        self._worker.stop(0 if self._stuck else self._stop_timeout_s)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export everything that waits. False if that took longer than `timeout_millis`."""
        flushed = self._worker.flush(timeout_millis / 1000)
        self._stuck = not flushed
        return flushed

    def _export(self, batch: list[ReadableLogRecord]) -> None:
        try:
            with suppress_instrumentation():
                result = self._exporter.export(batch)
        except Exception:
            self._losses.add(self._stage, "exporter_failed", len(batch))
            if not self._reported:
                self._reported = True
                _logger.exception("log exporter %s failed; further failures are only counted", self._stage)
            return
        if result is not LogRecordExportResult.SUCCESS:
            self._losses.add(self._stage, "export_failed", len(batch))

    def _flush_exporter(self, left_s: float) -> None:
        with suppress_instrumentation():
            self._exporter.force_flush(max(1, int(left_s * 1000)))
