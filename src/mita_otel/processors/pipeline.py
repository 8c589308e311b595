"""The processor chain of a service, in its safe order, and the measurements that it takes before sampling."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor
from opentelemetry.sdk.trace.export import SpanExporter

from mita_otel.latency.burn import BudgetLedger
from mita_otel.latency.operations import OperationNames
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.policy import Policy
from mita_otel.processors.breach_signal import BreachSignal
from mita_otel.processors.breaches import Breaches
from mita_otel.processors.context import ContextProcessor
from mita_otel.processors.observation import DurationMetrics, LatencyObserver, SpanObserver
from mita_otel.processors.queues.export_queue import ExportQueue, FanOut
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.pipeline_queue import PipelineQueue
from mita_otel.processors.queues.slices import Slices
from mita_otel.processors.queues.stage import ExporterHooks
from mita_otel.processors.redaction import RedactionProcessor
from mita_otel.processors.repeated_queries import RepeatedQueriesProcessor
from mita_otel.processors.sampling.consistent import randomness_of, threshold_of
from mita_otel.processors.statement_layers import StatementLayers
from mita_otel.processors.statement_names import StatementNames
from mita_otel.processors.tail_sampling import TailSampler
from mita_otel.processors.threshold import ThresholdProcessor
from mita_otel.processors.window_writer import WindowWriter
from mita_otel.redaction import Redactor


class Pipeline:
    """Hand-off, context, limits, tail sampling, redaction, exporters.

    Args:
        policy: The policy.
        redactor: Redacts every span before the exporters.
        exporters: Names and exporters. Each exporter gets a separate queue.
        losses: Counts lost spans.
        measurements: Counts every span before sampling.
        behind: Processors of third parties that also receive redacted spans.
        enrich: Sets attributes of user and transaction on each span that starts.
        tail: Whether traces are decided when they end. False: every sampled span is passed on.
        on_end: Called with each span that ends, on the thread that ends it.
        recorded_lengths: Lengths at which the provider cuts values. None given: those that the environment sets.
        slices: Divides background work into slices. None: batches are not divided.
    """

    def __init__(
        self,
        policy: Policy,
        redactor: Redactor,
        exporters: Sequence[tuple[str, SpanExporter]],
        losses: Losses,
        measurements: Measurements,
        behind: Sequence[SpanProcessor] = (),
        enrich: Callable[[Span], None] | None = None,
        *,
        tail: bool,
        on_end: Callable[[ReadableSpan], None] | None = None,
        recorded_lengths: Sequence[int | None] = (),
        slices: Slices | None = None,
    ) -> None:
        slices = slices or Slices()
        self.exporters = dict(exporters)
        queue = policy.export.queue
        self.queues = [
            ExportQueue(
                name,
                exporter,
                queue,
                losses,
                stop_timeout_s=policy.lifecycle.shutdown_timeout_s,
                slices=slices,
            )
            for name, exporter in exporters
        ]
        """The queues in front of the exporters."""
        self.fan_out = FanOut(behind, self.queues)
        self.redaction = RedactionProcessor(
            redactor, self.fan_out, recorded_lengths=recorded_lengths, step=slices.step
        )
        chain: SpanProcessor = self.redaction
        self.sampler: TailSampler | None = None
        """The tail sampler. None: not in tail mode."""
        if tail:
            chain = self.sampler = TailSampler(
                policy.sampling,
                chain,
                recent=measurements.recorder,
                on_trace_end=self.redaction.on_trace_end,
                step=slices.step,
            )
            for one in self.queues:
                one.hooks.watch_sampling(self.sampler.sampled_out)
        chain = RepeatedQueriesProcessor(
            policy.thresholds, chain, names=measurements.names, breaches=measurements.breaches
        )
        chain = ThresholdProcessor(
            policy.thresholds,
            chain,
            recent=measurements.recorder,
            names=measurements.names,
            breaches=measurements.breaches,
            observers=measurements.observers,
        )
        chain = StatementNames(StatementLayers(chain))
        if enrich is not None:
            chain = ContextProcessor(enrich, chain)
        self.first = PipelineQueue(
            queue,
            chain,
            losses,
            unsampled=tail,
            on_idle=self.sampler.tick if self.sampler is not None else None,
            on_end=_observed_by([one.hooks for one in self.queues], on_end),
            slices=slices,
        )
        """The first processor, for the tracer provider."""

    def drain(self) -> None:
        """Release held traces, in the sampler and in the exporters."""
        if self.sampler is not None:
            self.sampler.drain()
        for queue in self.queues:
            queue.drain()

    def close(self) -> None:
        """Shut the chain and the exporters down."""
        self.first.shutdown()

    def abandon(self) -> None:
        """Count every span that was not sent as lost: the deadline has passed."""
        self.first.abandon()
        for queue in self.queues:
            queue.abandon()


def _observed_by(
    hooks: Sequence[ExporterHooks], more: Callable[[ReadableSpan], None] | None
) -> Callable[[ReadableSpan], None] | None:
    """Return a function that passes a span that ends to all observers; None if there are none."""
    observers: list[Callable[[ReadableSpan], None]] = [
        one.on_span_end for one in hooks if one.implements("on_span_end")
    ]
    if more is not None:
        observers.append(more)
    if len(observers) < 2:
        return observers[0] if observers else None

    def observe(span: ReadableSpan) -> None:
        for observer in observers:
            observer(span)

    return observe


class Measurements:
    """The parts that observe every span before sampling.

    Args:
        policy: The policy.
        redact: Redacts names of operations.
        losses: Counts lost reports and windows.
        tail: Whether tail sampling follows.
        metrics_active: Returns whether metrics are collected.
        env: The environment variables.
        more_observers: Additional observers of every span.
        clock: Seconds since the epoch.
    """

    def __init__(
        self,
        policy: Policy,
        redact: Callable[[str], str],
        losses: Losses,
        *,
        tail: bool,
        metrics_active: Callable[[], bool],
        env: Mapping[str, str],
        more_observers: Sequence[SpanObserver] = (),
        clock: Callable[[], float] = time.time,
    ) -> None:
        thresholds = policy.thresholds
        self.names = OperationNames(policy.summary.max_operations, clock=clock, redact=redact)
        """Redacted and bounded names of operations."""
        self.recorder = LatencyRecorder(policy.summary, thresholds.adaptive, self.names, clock=clock)
        """Durations by operation and minute."""
        self.ledger = BudgetLedger(thresholds.objective, clock=time.monotonic)
        """Error budgets by rule."""
        self.writer = WindowWriter(self.recorder, losses)
        """Writes the windows to a store, once one is attached."""
        self.signal = BreachSignal(losses)
        """Notifies listeners of breaches."""
        self.breaches = Breaches(thresholds.log, signal=self.signal)
        """Counts and logs breaches."""
        durations = DurationMetrics(
            active=metrics_active,
            exemplified=_passes(policy.sampling.ratio) if tail else _always,
            env=env,
        )
        self.observers: tuple[SpanObserver, ...] = (
            LatencyObserver(self.recorder, self.ledger),
            durations,
            *more_observers,
        )
        """Observers of every span."""


def _always(span: ReadableSpan) -> bool:
    return True


def _passes(ratio: float) -> Callable[[ReadableSpan], bool]:
    threshold = threshold_of(ratio)

    def passes(span: ReadableSpan) -> bool:
        return span.context is not None and randomness_of(span.context.trace_id).passes(threshold)

    return passes
