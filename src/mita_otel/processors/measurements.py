"""What is counted of every span before sampling, put together: names, windows, budgets, metrics, breaches."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence

from opentelemetry.sdk.trace import ReadableSpan

from mita_otel.latency.burn import BudgetLedger
from mita_otel.latency.operations import OperationNames
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.policy import Policy
from mita_otel.processors.breach_signal import BreachSignal
from mita_otel.processors.breaches import Breaches
from mita_otel.processors.duration_metrics import DurationMetrics
from mita_otel.processors.latency_memory import LatencyMemory
from mita_otel.processors.observation import SpanObserver
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.sampling.consistent import randomness_of, threshold_of
from mita_otel.processors.window_writer import WindowWriter


class Measurements:
    """The parts that see every span.

    Args:
        policy: The policy.
        redact: Takes secrets out of operations' names.
        losses: Where lost reports and windows are counted.
        tail: Whether traces are thinned out afterwards.
        metrics_active: Whether anybody collects metrics.
        env: The environment variables.
        more_observers: See every span as well.
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
        """The names that operations are shown by."""
        self.recorder = LatencyRecorder(policy.summary, thresholds.adaptive, self.names, clock=clock)
        """Durations by operation and minute."""
        self.ledger = BudgetLedger(thresholds.objective, clock=time.monotonic)
        """Error budgets by rule."""
        self.writer = WindowWriter(self.recorder, losses)
        """Brings the windows into a store, once it has one."""
        self.signal = BreachSignal(losses)
        """Tells listeners of breaches."""
        self.breaches = Breaches(thresholds.log, signal=self.signal)
        """Counts and logs breaches."""
        durations = DurationMetrics(
            active=metrics_active,
            exemplified=_passes(policy.sampling.ratio) if tail else _always,
            env=env,
        )
        self.observers: tuple[SpanObserver, ...] = (
            LatencyMemory(self.recorder, self.ledger),
            durations,
            *more_observers,
        )
        """What counts each span."""


def _always(span: ReadableSpan) -> bool:
    return True


def _passes(ratio: float) -> Callable[[ReadableSpan], bool]:
    threshold = threshold_of(ratio)

    def passes(span: ReadableSpan) -> bool:
        return span.context is not None and randomness_of(span.context.trace_id).passes(threshold)

    return passes
