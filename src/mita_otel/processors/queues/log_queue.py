"""The last log processor: a bounded queue for each exporter, so that a slow exporter does not delay the others."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Protocol

from opentelemetry.sdk._logs import LoggerProvider, LogRecordProcessor, ReadableLogRecord, ReadWriteLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.resources import Resource

from mita_otel import semconv
from mita_otel.errors import raise_interrupt
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.queues.batch_queue import BatchQueue, QueueProcessor
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.otlp_responses import OtlpResponses
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import Stage, milliseconds_left

_logger = logging.getLogger("mita_otel")


class RecordRedaction(Protocol):
    """Redacts log records on the queue's thread; see `LogRedaction`."""

    def snapshot(self, emitted: ReadWriteLogRecord, /) -> ReadWriteLogRecord:
        """Return a copy that later changes by the application do not affect."""

    def size(self, emitted: ReadWriteLogRecord, /) -> int:
        """Return the approximate size of a record in bytes."""

    def redacted(self, emitted: ReadWriteLogRecord, /) -> ReadWriteLogRecord:
        """Return a redacted copy."""


class _Exports:
    """Redacts each batch before an exporter receives it.

    Args:
        exporter: Receives the redacted records.
        redaction: Redacts records. None: they were redacted before.
        slices: Divides the exporter's work into slices. The queue divides the redaction.
    """

    def __init__(
        self, exporter: LogRecordExporter, redaction: RecordRedaction | None, slices: Slices
    ) -> None:
        self._stepped = slices.stepped
        self._redaction = redaction
        self._export = exporter.export
        self.force_flush = exporter.force_flush
        self.shutdown = exporter.shutdown

    def export(self, batch: Sequence[ReadWriteLogRecord]) -> LogRecordExportResult:
        safe = batch if self._redaction is None else map(self._redaction.redacted, batch)
        return self._export(self._stepped([_readable(one) for one in safe]))


class LogQueue(QueueProcessor[ReadWriteLogRecord], LogRecordProcessor):
    """Redacts log records and exports them in batches on its own thread; see `BatchQueue`.

    The thread that emits a record only copies it.

    Args:
        name: The exporter's name, for metrics and log messages.
        exporter: Receives the records.
        queue: Bounds of the queue.
        losses: Counts lost records.
        stop_timeout_s: Seconds that the exporter's shutdown may take.
        redaction: Redacts the records. None: they were redacted before.
        max_bytes: Estimated size of the records that may wait.
        slices: Divides the redaction of a batch into slices.
    """

    def __init__(
        self,
        name: str,
        exporter: LogRecordExporter,
        queue: QueuePolicy,
        losses: Losses,
        *,
        stop_timeout_s: float,
        redaction: RecordRedaction | None = None,
        max_bytes: float = float("inf"),
        slices: Slices | None = None,
    ) -> None:
        self._snapshot = redaction.snapshot if redaction is not None else None
        queue_of_records: BatchQueue[ReadWriteLogRecord] = BatchQueue(
            name,
            f"logs.{name}",
            _Exports(exporter, redaction, slices or Slices()),
            LogRecordExportResult.SUCCESS,
            queue,
            losses,
            size=redaction.size if redaction is not None else None,
            max_bytes=max_bytes,
            slices=slices,
            counter=semconv.EXPORTED_LOGS_COUNTER,
            stop_timeout_s=stop_timeout_s,
            responses=OtlpResponses(exporter),
        )
        super().__init__(queue_of_records)

    def on_emit(self, log_record: ReadWriteLogRecord) -> None:
        """Queue a copy of the record. Never raises into the application."""
        try:
            copy = log_record if self._snapshot is None else self._snapshot(log_record)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("a log record could not be copied", exc_info=True)
            self._queue.lose("not_copyable")
            return
        self._queue.put(copy)


def _readable(record: ReadWriteLogRecord) -> ReadableLogRecord:
    return ReadableLogRecord(
        log_record=record.log_record,
        resource=record.resource or Resource.get_empty(),
        instrumentation_scope=record.instrumentation_scope,
        limits=record.limits,
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
