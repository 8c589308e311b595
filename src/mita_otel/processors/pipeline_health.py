"""The pipeline's own health as metrics, read when metrics are collected, at no cost in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.trace import ReadableSpan

from mita_otel import semconv
from mita_otel.latency.burn import BudgetLedger
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.pipeline import Pipeline
from mita_otel.processors.sampling.held import HeldTraces

_Reading = tuple[int | float, Mapping[str, Any]]
_Read = Callable[[], Iterable[_Reading]]


class PipelineHealth:
    """Gauges and counters of the current pipeline, which are read when metrics are collected.

    Instruments cannot be removed from a meter provider. They outlive the pipeline, and read the next one.
    """

    def __init__(self) -> None:
        self._pipeline: Pipeline | None = None
        self._ledger: BudgetLedger | None = None
        self._queue: QueuePolicy | None = None

    def watch(
        self,
        pipeline: Pipeline,
        ledger: BudgetLedger,
        queue: QueuePolicy,
        *,
        meter: metrics.Meter | None = None,
    ) -> None:
        """Read a pipeline from now on.

        Args:
            pipeline: Its queues, sampler and redaction are read.
            ledger: Its burn rates are read.
            queue: The queues' bounds.
            meter: Creates the instruments. None: a meter of the global provider.
        """
        self._pipeline, self._ledger, self._queue = pipeline, ledger, queue
        meter = meter or metrics.get_meter("mita_otel")
        for name, unit, description, read in (
            (semconv.QUEUE_SIZE, "{span}", "Spans that wait in a queue", self._queue_sizes),
            (semconv.QUEUE_CAPACITY, "{span}", "Spans that may wait in a queue", self._queue_capacities),
            (
                semconv.LATENCY_BURN_RATE,
                "1",
                "How fast a limit's error budget is spent, by window",
                self._burn_rates,
            ),
        ):
            meter.create_observable_gauge(name, [_callback(read)], unit, description)
        for name, unit, description, read in (
            (semconv.REDACTED_COUNTER, "{value}", "Values that were redacted, by rule", self._redacted),
            (
                semconv.LATENCY_CHECKED,
                "{span}",
                "Spans that a limit applied to, by rule and whether they exceeded it",
                self._checked,
            ),
        ):
            meter.create_observable_counter(name, [_callback(read)], unit, description)
        if pipeline.sampler is not None:
            self._watch_sampler(meter)

    def stop(self) -> None:
        """Stop reading."""
        self._pipeline = self._ledger = self._queue = None

    def _watch_sampler(self, meter: metrics.Meter) -> None:
        meter.create_observable_counter(
            semconv.SAMPLING_TRACES,
            [_callback(self._traces)],
            "{trace}",
            "Traces that were decided, by whether they were kept and why",
        )
        meter.create_observable_counter(
            semconv.SAMPLING_SPANS,
            [_callback(self._spans)],
            "{span}",
            "Spans that were decided, by whether they were kept",
        )
        meter.create_observable_counter(
            semconv.SAMPLING_EARLY,
            [_callback(self._early)],
            "{trace}",
            "Traces that were decided before their end because a bound was reached",
        )
        for name, unit in (("traces", "{trace}"), ("spans", "{span}"), ("bytes", "By")):
            meter.create_observable_gauge(
                f"{semconv.SAMPLING_HELD}.{name}",
                [_callback(partial(self._held, f"held_{name}"))],
                unit,
                "Traces, spans and bytes that are held until a decision",
            )

    def _sampled(self) -> Iterable[HeldTraces[ReadableSpan]]:
        """Yield what the tail sampler holds, if there is one."""
        if self._pipeline is not None and self._pipeline.sampler is not None:
            yield self._pipeline.sampler.held

    def _traces(self) -> Iterable[_Reading]:
        for held in self._sampled():
            for (kept, reason), count in list(held.traces.items()):
                yield count, {"kept": kept, "reason": reason}

    def _spans(self) -> Iterable[_Reading]:
        for held in self._sampled():
            for kept, count in list(held.spans.items()):
                yield count, {"kept": kept}

    def _early(self) -> Iterable[_Reading]:
        for held in self._sampled():
            yield held.early, {}

    def _held(self, attribute: str) -> Iterable[_Reading]:
        for held in self._sampled():
            yield getattr(held, attribute), {}

    def _queue_sizes(self) -> Iterable[_Reading]:
        if self._pipeline is not None:
            yield self._pipeline.first.waiting, _component("mita_pipeline_queue", "pipeline")
            for queue in self._pipeline.queues:
                yield queue.waiting, _component("mita_export_queue", queue.name)

    def _queue_capacities(self) -> Iterable[_Reading]:
        if self._pipeline is not None and self._queue is not None:
            yield self._queue.max_spans, _component("mita_pipeline_queue", "pipeline")
            for queue in self._pipeline.queues:
                yield self._queue.exporter_max_spans, _component("mita_export_queue", queue.name)

    def _redacted(self) -> Iterable[_Reading]:
        if self._pipeline is not None:
            for rule, count in list(self._pipeline.redaction.redacted.items()):
                yield count, {"rule": rule}

    def _burn_rates(self) -> Iterable[_Reading]:
        for one in self._ledger.burn_rates() if self._ledger is not None else ():
            for length, rate in (("long", one.long_rate), ("short", one.short_rate)):
                yield rate, {"rule": one.rule, "window": one.window, "length": length}

    def _checked(self) -> Iterable[_Reading]:
        for rule, spent in self._ledger.ever().items() if self._ledger is not None else ():
            yield spent.total - spent.broken, {"rule": rule, "broken": "false"}
            yield spent.broken, {"rule": rule, "broken": "true"}


def _callback(read: _Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes) for value, attributes in read()]

    return observe


def _component(kind: str, name: str) -> dict[str, str]:
    return {semconv.COMPONENT_TYPE: kind, semconv.COMPONENT_NAME: name}
