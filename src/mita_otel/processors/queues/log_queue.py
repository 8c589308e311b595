"""The last log processor: a bounded queue for each exporter, so that a slow exporter does not delay the others."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from mita_otel import semconv
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.queues.batch_queue import BatchQueue, QueueProcessor
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import Stage, milliseconds_left


class LogQueue(QueueProcessor[ReadableLogRecord], LogRecordProcessor):
    """Exports log records in batches on its own thread; see `BatchQueue`.

    Args:
        name: The exporter's name, for metrics and log messages.
        exporter: Receives the records.
        queue: Bounds of the queue.
        losses: Counts lost records.
        stop_timeout_s: Seconds that the exporter's shutdown may take.
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
        queue_of_records: BatchQueue[ReadableLogRecord] = BatchQueue(
            name,
            f"logs.{name}",
            exporter,
            LogRecordExportResult.SUCCESS,
            queue,
            losses,
            counter=semconv.EXPORTED_LOGS_COUNTER,
            stop_timeout_s=stop_timeout_s,
        )
        super().__init__(queue_of_records)

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


class LogStage(Stage):
    """Flushes and closes a LoggerProvider. Its queues send concurrently with other stages.

    Args:
        provider: The provider.
        queues: The queues of its exporters.
    """

    def __init__(self, provider: LoggerProvider, queues: Sequence[LogQueue]) -> None:
        self._provider = provider
        self._queues = tuple(queues)

    def flush_async(self, deadline_s: float) -> None:
        """Begin to export all queued records."""
        for queue in self._queues:
            queue.flush_async(deadline_s)

    def flush(self, deadline_s: float) -> bool:
        """Export all queued records. Returns False if the deadline passed first."""
        return self._provider.force_flush(milliseconds_left(deadline_s))

    def abandon(self) -> None:
        """Count all queued records as lost."""
        for queue in self._queues:
            queue.abandon()

    def close(self) -> None:
        """Shut the provider down."""
        self._provider.shutdown()
