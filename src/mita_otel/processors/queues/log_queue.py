"""The last log processor: a bounded queue in front of one exporter, so that a slow one holds nobody up."""

from __future__ import annotations

from opentelemetry.sdk._logs import LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from mita_otel import semconv
from mita_otel.policy.sections import QueuePolicy
from mita_otel.processors.queues.batch_queue import BatchQueue
from mita_otel.processors.queues.losses import Losses


class LogQueue(LogRecordProcessor):
    """Exports log records in batches on a thread of its own; see `BatchQueue`.

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
        self._queue: BatchQueue[ReadableLogRecord] = BatchQueue(
            name,
            f"logs.{name}",
            exporter,
            LogRecordExportResult.SUCCESS,
            queue,
            losses,
            counter=semconv.EXPORTED_LOGS_COUNTER,
            stop_timeout_s=stop_timeout_s,
        )

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue the record."""
        self._queue.put(
            ReadableLogRecord(
                log_record=log_record.log_record,
                resource=log_record.resource or Resource.get_empty(),
                instrumentation_scope=log_record.instrumentation_scope,
                limits=log_record.limits,
            )
        )

    def hurry(self, timeout_millis: int) -> None:
        """Ask for an export of everything that waits, without waiting for it."""
        self._queue.hurry(timeout_millis / 1000)

    def cut_off(self) -> None:
        """Count what waits as lost: the deadline is over."""
        self._queue.cut_off()

    def shutdown(self) -> None:
        """Let the thread shut the exporter down. One that did not flush in time gets no more time."""
        self._queue.stop()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export everything that waits. False if that took longer than `timeout_millis`."""
        return self._queue.flush(timeout_millis / 1000)
