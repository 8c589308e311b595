"""The last processor: a bounded queue in front of one exporter, so that a slow one holds nobody up."""

from __future__ import annotations

import logging
from time import perf_counter
from typing import Protocol, runtime_checkable

from opentelemetry import metrics
from opentelemetry.context import Context
from opentelemetry.instrumentation.utils import suppress_instrumentation
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from mita_otel import semconv
from mita_otel.policy.sections import QueuePolicy
from mita_otel.processors.losses import Losses
from mita_otel.processors.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")

_FAILED = "failed"
"""The `error.type` of an export that the exporter calls a failure."""


@runtime_checkable
class HoldsBack(Protocol):
    """An exporter that keeps finished spans for a while, because their trace has not ended."""

    def tick(self) -> None:
        """Look whether something has been kept too long. Called now and then while there is no work."""

    def let_go(self) -> None:
        """Keep nothing any more: the process is ending. The next `force_flush` sends all that is kept."""


@runtime_checkable
class SeesStarts(Protocol):
    """An exporter that wants to know which spans are under way."""

    def started(self, span: ReadableSpan) -> None:
        """Take notice of a span. Called on the application's thread: be quick."""


class ExportQueue(SpanProcessor):
    """Exports spans in batches on a thread of its own.

    Unlike the SDK's batch processor it keeps the deadlines it is given, counts what it loses by reason, and
    counts a batch whose export failed as lost.

    Args:
        name: The exporter's name, for counts and messages.
        exporter: Where the spans go.
        queue: Bounds of the queue.
        losses: Where lost spans are counted.
        stop_timeout_s: Seconds that the exporter's own shutdown may take.
    """

    def __init__(
        self, name: str, exporter: SpanExporter, queue: QueuePolicy, losses: Losses, *, stop_timeout_s: float
    ) -> None:
        self.name = name
        self.exporter = exporter
        self._losses = losses
        self._sees_starts = exporter if isinstance(exporter, SeesStarts) else None
        self._failed_before = False
        self._stuck = False
        self._stop_timeout_s = stop_timeout_s
        self._component = {
            semconv.COMPONENT_TYPE: "mita_export_queue",
            semconv.COMPONENT_NAME: name,
        }
        meter = metrics.get_meter("mita_otel")
        self._exported = meter.create_counter(
            semconv.EXPORTED_COUNTER,
            unit="{span}",
            description="Spans whose export has finished, well or not",
        )
        self._took = meter.create_histogram(
            semconv.EXPORT_DURATION, unit="s", description="Duration of exporting a batch"
        )
        self._worker: BoundedWorker[ReadableSpan] = BoundedWorker(
            self._export,
            name=f"mita-otel-export-{name}",
            max_items=queue.exporter_max_spans,
            max_batch=queue.max_batch,
            delay_s=queue.delay_ms / 1000,
            on_flush=self._flush_exporter,
            on_stop=exporter.shutdown,
            on_idle=exporter.tick if isinstance(exporter, HoldsBack) else None,
            idle_s=queue.idle_s,
        )

    @property
    def waiting(self) -> int:
        """Spans that wait now."""
        return self._worker.waiting

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Start the thread before the first span ends, and tell an exporter that wants to know."""
        self._worker.start()
        if self._sees_starts is not None:
            self._sees_starts.started(span)

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        if not self._worker.put(span):
            self._losses.add(f"exporter.{self.name}", "queue_full")

    def hurry(self, timeout_millis: int) -> None:
        """Ask for an export of everything that waits, without waiting for it."""
        self._worker.hurry(timeout_millis / 1000)

    def shutdown(self) -> None:
        """Let the thread shut the exporter down. One that did not flush in time gets no more time."""
        self._worker.stop(0 if self._stuck else self._stop_timeout_s)

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Export everything that waits. False if that took longer than `timeout_millis`."""
        flushed = self._worker.flush(timeout_millis / 1000)
        self._stuck = not flushed
        return flushed

    def _export(self, batch: list[ReadableSpan]) -> None:
        started = perf_counter()
        failure = self._try_export(batch)
        labels = self._component if failure is None else {**self._component, semconv.ERROR_TYPE: failure}
        self._took.record(perf_counter() - started, labels)
        self._exported.add(len(batch), labels)
        if failure is not None:
            reason = "export_failed" if failure == _FAILED else "exporter_failed"
            self._losses.add(f"exporter.{self.name}", reason, len(batch))

    def _try_export(self, batch: list[ReadableSpan]) -> str | None:
        """Export, and return what went wrong: an exception's name, or that the exporter says so."""
        try:
            # The exporter's own HTTP requests must not become spans.
            with suppress_instrumentation():
                result = self.exporter.export(batch)
        except Exception as error:
            if not self._failed_before:
                self._failed_before = True
                _logger.exception("exporter %s failed; further failures are only counted", self.name)
            return type(error).__name__
        return None if result is SpanExportResult.SUCCESS else _FAILED

    def _flush_exporter(self, left_s: float) -> None:
        with suppress_instrumentation():
            self.exporter.force_flush(max(1, int(left_s * 1000)))
