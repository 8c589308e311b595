"""The pipeline's own health as metrics: read off its parts when somebody collects, at no cost in between."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from opentelemetry import metrics
from opentelemetry.metrics import CallbackOptions, Observation

from mita_otel import semconv
from mita_otel.latency.burn import BudgetLedger
from mita_otel.policy.runtime import QueuePolicy
from mita_otel.processors.pipeline import Pipeline
from mita_otel.processors.tail_sampling import TailSampler

_Reading = tuple[int | float, Mapping[str, Any]]
_Read = Callable[[], Iterable[_Reading]]


class PipelineHealth:
    """Registers gauges and counters that are read when metrics are collected.

    Args:
        pipeline: Whose queues, sampler and redaction are read.
        ledger: Whose burn rates are told.
        queue: The queues' bounds.
        meter: Makes the instruments. None: one of the global provider.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        ledger: BudgetLedger,
        queue: QueuePolicy,
        *,
        meter: metrics.Meter | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._ledger = ledger
        self._queue = queue
        self._meter = meter or metrics.get_meter("mita_otel")
        self._gauge(semconv.QUEUE_SIZE, "{span}", "Spans that wait in a queue", self._queue_sizes)
        self._gauge(
            semconv.QUEUE_CAPACITY, "{span}", "Spans that may wait in a queue", self._queue_capacities
        )
        self._counter(
            semconv.REDACTED_COUNTER, "{value}", "Values that were redacted, by rule", self._redacted
        )
        self._gauge(
            semconv.LATENCY_BURN_RATE,
            "1",
            "How fast a limit's error budget goes, by window",
            self._burn_rates,
        )
        self._counter(
            semconv.LATENCY_CHECKED,
            "{span}",
            "Spans that a limit applied to, by rule and whether they broke it",
            self._checked,
        )
        sampler = pipeline.sampler
        if sampler is not None:
            self._watch(sampler)

    def _watch(self, sampler: TailSampler) -> None:
        held = sampler.held
        self._counter(
            semconv.SAMPLING_TRACES,
            "{trace}",
            "Traces that were decided, by whether they were kept and why",
            lambda: [
                (count, {"kept": kept, "reason": reason})
                for (kept, reason), count in list(held.traces.items())
            ],
        )
        self._counter(
            semconv.SAMPLING_SPANS,
            "{span}",
            "Spans that were decided, by whether they were kept",
            lambda: [(count, {"kept": kept}) for kept, count in list(held.spans.items())],
        )
        self._counter(
            semconv.SAMPLING_EARLY,
            "{trace}",
            "Traces that were decided before their end for want of room",
            lambda: [(held.early, {})],
        )
        for name, unit, read in (
            ("traces", "{trace}", lambda: held.held_traces),
            ("spans", "{span}", lambda: held.held_spans),
            ("bytes", "By", lambda: held.held_bytes),
        ):
            self._gauge(f"{semconv.SAMPLING_HELD}.{name}", unit, "What waits for its decision", _one(read))

    def _queue_sizes(self) -> Iterable[_Reading]:
        yield self._pipeline.first.waiting, _component("mita_hand_off", "pipeline")
        for queue in self._pipeline.queues:
            yield queue.waiting, _component("mita_export_queue", queue.name)

    def _queue_capacities(self) -> Iterable[_Reading]:
        yield self._queue.max_spans, _component("mita_hand_off", "pipeline")
        for queue in self._pipeline.queues:
            yield self._queue.exporter_max_spans, _component("mita_export_queue", queue.name)

    def _redacted(self) -> Iterable[_Reading]:
        for rule, count in list(self._pipeline.redaction.redacted.items()):
            yield count, {"rule": rule}

    def _burn_rates(self) -> Iterable[_Reading]:
        for one in self._ledger.burn_rates():
            for length, rate in (("long", one.long_rate), ("short", one.short_rate)):
                yield rate, {"rule": one.rule, "window": one.window, "length": length}

    def _checked(self) -> Iterable[_Reading]:
        for rule, spent in self._ledger.ever().items():
            yield spent.total - spent.broken, {"rule": rule, "broken": "false"}
            yield spent.broken, {"rule": rule, "broken": "true"}

    def _gauge(self, name: str, unit: str, description: str, read: _Read) -> None:
        self._meter.create_observable_gauge(name, [_callback(read)], unit, description)

    def _counter(self, name: str, unit: str, description: str, read: _Read) -> None:
        self._meter.create_observable_counter(name, [_callback(read)], unit, description)


def _callback(read: _Read) -> Callable[[CallbackOptions], Iterable[Observation]]:
    def observe(options: CallbackOptions) -> Iterable[Observation]:
        return [Observation(value, attributes) for value, attributes in read()]

    return observe


def _one(read: Callable[[], int]) -> _Read:
    return lambda: [(read(), {})]


def _component(kind: str, name: str) -> dict[str, str]:
    return {semconv.COMPONENT_TYPE: kind, semconv.COMPONENT_NAME: name}
