"""The first processor: a queue that moves finished spans off the request's thread."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import partial

from opentelemetry.context import Context
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor

from mita_otel.errors import raise_interrupt
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.ended_requests import remember_end
from mita_otel.processors.queues.losses import AFTER_SHUTDOWN, DEADLINE_PASSED, Losses
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import deadline_in, milliseconds_left, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")


class PipelineQueue(SpanProcessor):
    """Puts finished spans into a bounded queue. The rest of the chain runs on the queue's thread.

    Limits and redaction run there, so a request only pays for an append. Exceptions of later processors cannot reach the
    application.

    Args:
        queue: Bounds of the queue.
        next_processor: The rest of the chain.
        losses: Counts spans that did not fit into the queue.
        unsampled: Whether to pass on spans that are recorded but not sampled, because a later processor decides.
        on_idle: Called regularly on the queue's thread while no spans end.
        on_end: Called with each finished span, on the thread that ended it, so it must be quick.
        slices: Divides the work into slices. None: a batch is one piece of work.
    """

    def __init__(
        self,
        queue: QueuePolicy,
        next_processor: SpanProcessor,
        losses: Losses,
        *,
        unsampled: bool = False,
        on_idle: Callable[[], None] | None = None,
        on_end: Callable[[ReadableSpan], None] | None = None,
        slices: Slices | None = None,
    ) -> None:
        self.next_processor = next_processor
        self._losses = losses
        self._unsampled = unsampled
        self._on_end = on_end
        self._max_spans = queue.max_spans
        self._slices = slices or Slices()
        self._worker: BoundedWorker[ReadableSpan] = BoundedWorker(
            self._pass_on,
            name="mita-otel-pipeline",
            max_items=queue.max_spans,
            max_batch=queue.max_batch,
            delay_s=queue.stage_delay_ms / 1000,
            on_idle=None if on_idle is None else partial(self._idle, on_idle),
            idle_s=queue.idle_s,
        )
        self._on_start_failed = False
        self._late = False

    @property
    def waiting(self) -> int:
        """Number of queued spans."""
        return self._worker.waiting

    def start(self) -> None:
        """Start the thread."""
        self._worker.start()

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        """Pass the call to the chain on the caller's thread, since a processor may add attributes."""
        self._worker.start()
        try:
            self.next_processor.on_start(span, parent_context)
        except BaseException as error:
            raise_interrupt(error)
            if not self._on_start_failed:
                self._on_start_failed = True
                _logger.exception("a span processor failed in on_start; further failures are not logged")

    def on_end(self, span: ReadableSpan) -> None:
        """Queue the span."""
        remember_end(span)
        if self._on_end is not None:
            self._notify(self._on_end, span)
        context = span.context
        if context is None or not (context.trace_flags.sampled or self._unsampled):
            return
        if not self._worker.put(span):
            self._losses.add("pipeline", AFTER_SHUTDOWN if self._worker.stopping else "queue_full")

    def _notify(self, on_end: Callable[[ReadableSpan], None], span: ReadableSpan) -> None:
        try:
            on_end(span)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("an exporter failed at a span's end", exc_info=True)

    def _idle(self, on_idle: Callable[[], None]) -> None:
        with self._slices.batch(self._worker, self._max_spans):
            on_idle()

    def _pass_on(self, batch: list[ReadableSpan]) -> None:
        with self._slices.batch(self._worker, self._max_spans):
            for span in batch:
                self._pass_on_one(span)
                self._slices.step()

    def _pass_on_one(self, span: ReadableSpan) -> None:
        try:
            self.next_processor.on_end(span)
        except BaseException as error:
            raise_interrupt(error)
            self._losses.add("pipeline", "processor_failed")
            _logger.debug("a span processor failed in on_end", exc_info=True)

    def catch_up(self, timeout_s: float) -> bool:
        """Wait until the chain has processed every finished span. Returns False if that took too long."""
        return self._worker.flush(timeout_s)

    def abandon(self) -> None:
        """Count spans that the chain has not processed as lost: the deadline has passed."""
        self._late = True
        self._losses.add("pipeline", DEADLINE_PASSED, self._worker.count_as_lost())

    def shutdown(self) -> None:
        """Shut the chain down. Flush first: this does not wait for a backend."""
        self._worker.close()
        if self._late:
            self._losses.add("pipeline", DEADLINE_PASSED, self._worker.discard())
        self.next_processor.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        """Pass every finished span to the exporters, and flush these."""
        deadline_s = deadline_in(timeout_millis)
        flushed = self.catch_up(seconds_left(deadline_s))
        return self.next_processor.force_flush(milliseconds_left(deadline_s)) and flushed
