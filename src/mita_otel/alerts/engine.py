"""The two threads of alerts: one counts and evaluates rules, the other delivers notifications."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from mita_otel.alerts.conditions import SECOND_NS
from mita_otel.alerts.dispatcher import STAGE, NotificationDispatcher
from mita_otel.alerts.evaluator import RuleEvaluator
from mita_otel.alerts.events import AlertEvent, Exemplar, RuleMatcher, Sample, name_matches
from mita_otel.alerts.span_counter import SpanCounter
from mita_otel.alerts.store import AlertStore, AlertStoreUnavailableError
from mita_otel.errors import raise_interrupt
from mita_otel.policy.alerts import AlertPolicy, Stream
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.alerts")

_MAX_BATCH: Final = 500
_DELAY_S: Final = 0.2
_HEALTH_INTERVAL_S: Final = 10.0
"""Seconds between two readings of telemetry's health."""


@dataclass(frozen=True, slots=True)
class HealthResult:
    """The result of a health check."""

    name: str
    failing: bool
    message: str = ""


HealthResults = Callable[[], Iterable[HealthResult]]


class AlertEngine(Stage):
    """Counts events and spans, evaluates rules, and delivers notifications.

    Args:
        policy: The rules, and the interval of their evaluation.
        store: Holds samples, alerts and queued notifications.
        evaluator: Evaluates rules. None: another process does (`mita-otel alerts run`).
        dispatcher: Delivers notifications. None: another process does.
        span_counter: Counts spans.
        redactor: Redacts what is stored of an event.
        losses: Counts events and samples that are dropped.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        policy: AlertPolicy,
        store: AlertStore,
        evaluator: RuleEvaluator | None,
        dispatcher: NotificationDispatcher | None,
        span_counter: SpanCounter,
        redactor: Redactor,
        losses: Losses,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._policy = policy
        self._store = store
        self._evaluator = evaluator
        self._dispatcher = dispatcher
        self._span_counter = span_counter
        self._redactor = redactor
        self._losses = losses
        self._clock_ns = clock_ns
        rules = {name: rule for name, rule in policy.rules.items() if rule.is_local}
        self._matcher = RuleMatcher(rules)
        self._health_rules = {name: rule for name, rule in rules.items() if rule.on == ("health",)}
        self._read_health: HealthResults | None = None
        self.unavailable = ""
        """Why the store cannot be used now; empty: it can."""
        self._reset()
        self._counter: BoundedWorker[AlertEvent] = BoundedWorker(
            self._count,
            name="mita-otel-alerts",
            max_items=policy.max_events,
            max_batch=_MAX_BATCH,
            delay_s=_DELAY_S,
            on_idle=self.tick,
            idle_s=policy.evaluate_s,
            on_flush=lambda left_s: self.tick(),
            on_stop=store.close,
        )
        self._deliverer: BoundedWorker[bool] | None = None
        if dispatcher is not None:
            self._deliverer = BoundedWorker(
                lambda wakes: self._deliver(),
                name="mita-otel-notifications",
                max_items=1,
                max_batch=1,
                delay_s=0.01,
                on_flush=lambda left_s: self._deliver(left_s),
                on_stop=dispatcher.close,
                on_idle=self._deliver,
                idle_s=min(1.0, policy.evaluate_s),
            )
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._pending: deque[Sample] = deque(maxlen=self._policy.max_events)
        self._ticked_ns = 0
        self._health_read_ns = 0
        self._has_lease = False
        self._span_counter.reset()

    @property
    def streams(self) -> frozenset[Stream]:
        """Streams of single events that a rule counts."""
        return self._matcher.streams

    @property
    def failing(self) -> dict[str, str]:
        """Channels whose last notification was not delivered, and the reasons."""
        return {} if self._dispatcher is None else dict(self._dispatcher.failing)

    def start(self) -> None:
        """Start the threads. After a fork, the first event or span starts them."""
        self._counter.start()
        if self._deliverer is not None:
            self._deliverer.start()

    def watch_health(self, read: HealthResults) -> None:
        """Read telemetry's health regularly, if there are rules on it."""
        if self._health_rules:
            self._read_health = read

    def submit(self, event: AlertEvent) -> None:
        """Queue an event, on any thread."""
        if not self._counter.put(event):
            self._losses.add(STAGE, "queue_full")

    def flush(self, deadline_s: float) -> bool:
        """Count queued events, evaluate the rules and deliver. Returns False if the deadline passed first."""
        if not self._counter.started and not self._counter.waiting:
            return True
        counted = self._counter.flush(seconds_left(deadline_s))
        if self._deliverer is None:
            return counted
        return self._deliverer.flush(seconds_left(deadline_s)) and counted

    def abandon(self) -> None:
        """Count the events that no rule has seen as lost."""
        self._losses.add(STAGE, DEADLINE_PASSED, self._counter.count_as_lost())

    def close(self) -> None:
        """Stop. Flush first: this does not wait."""
        self._counter.close()
        if self._deliverer is not None:
            self._deliverer.close()

    # -- on the counting thread -----------------------------------------------------------------------
    def _count(self, events: list[AlertEvent]) -> None:
        samples = [sample for event in events for sample in self._samples_or_none(event)]
        if samples:
            self._store_samples(samples)
        if self._clock_ns() - self._ticked_ns >= self._policy.evaluate_s * SECOND_NS:
            self.tick()
        elif samples:
            self._evaluate()

    def tick(self) -> None:
        """Store the counts of spans, and evaluate every rule if this process holds the lease."""
        self._ticked_ns = self._clock_ns()
        self._store_samples([*self._span_counter.take(), *self._health_samples()])
        if self._evaluator is None:
            return
        try:
            self._has_lease = self._store.acquire_lease()
        except AlertStoreUnavailableError as error:
            self._has_lease = False
            self._set_unavailable(str(error))
            return
        self._evaluate()

    def _evaluate(self) -> None:
        if self._evaluator is None or not self._has_lease:
            return
        try:
            with self._store.transaction() as transaction:
                notifications = self._evaluator.evaluate(transaction, self._clock_ns())
        except AlertStoreUnavailableError as error:
            self._set_unavailable(str(error))
            return
        self._set_unavailable("")
        if notifications and self._deliverer is not None:
            self._deliverer.put(True)

    def _samples_or_none(self, event: AlertEvent) -> list[Sample]:
        try:
            return self._samples_of(event)
        except BaseException as error:
            raise_interrupt(error)
            self._losses.add(STAGE, "not_counted")
            _logger.debug("an event could not be counted", exc_info=True)
            return []

    def _samples_of(self, event: AlertEvent) -> list[Sample]:
        matches = self._matcher.match(event)
        if not matches:
            return []
        exemplar = redacted_exemplar(event, self._redactor)
        return [
            Sample(one.rule, self._redactor.text(one.subject), event.at_ns, exemplar=exemplar)
            for one in matches
        ]

    def _health_samples(self) -> list[Sample]:
        now_ns = self._clock_ns()
        if self._read_health is None or now_ns - self._health_read_ns < _HEALTH_INTERVAL_S * SECOND_NS:
            return []
        self._health_read_ns = now_ns
        try:
            results = list(self._read_health())
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("telemetry's health could not be read", exc_info=True)
            return []
        samples = []
        for name, rule in self._health_rules.items():
            relevant = [result for result in results if name_matches(rule, result.name)]
            if "name" not in rule.group_by:
                failing = [result for result in relevant if result.failing]
                message = "; ".join(f"{one.name}: {one.message}" for one in failing)
                relevant = [HealthResult("", bool(failing), message)]
            samples += [
                Sample(
                    name,
                    result.name,
                    now_ns,
                    int(result.failing),
                    1,
                    Exemplar(message=self._redactor.text(result.message)) if result.failing else None,
                    single=False,
                )
                for result in relevant
            ]
        return samples

    def _store_samples(self, samples: Sequence[Sample]) -> None:
        """Add samples to the store. While it is unavailable they wait; the oldest are dropped."""
        excess = len(self._pending) + len(samples) - self._policy.max_events
        if excess > 0:
            self._losses.add(STAGE, "samples_dropped", excess)
        self._pending.extend(samples)
        if not self._pending:
            return
        try:
            self._store.add_samples(list(self._pending))
        except AlertStoreUnavailableError as error:
            self._set_unavailable(str(error))
            return
        self._pending.clear()

    def _set_unavailable(self, reason: str) -> None:
        if reason and not self.unavailable:
            _logger.error("alerts: %s; counts are kept in memory, and notifications are delayed", reason)
        self.unavailable = reason

    # -- on the delivering thread ---------------------------------------------------------------------
    def _deliver(self, left_s: float | None = None) -> None:
        if self._dispatcher is not None and self._has_lease:
            self._dispatcher.deliver(None if left_s is None else time.monotonic() + left_s)


def redacted_exemplar(event: AlertEvent, redactor: Redactor) -> Exemplar:
    """Return an event as an exemplar, redacted."""
    return Exemplar(
        message=redactor.text(event.message),
        name=redactor.text(event.name),
        category=redactor.text(event.category),
        severity=event.severity,
        operation=redactor.text(event.operation),
        event_id=event.event_id,
        trace_id=event.trace_id,
    )
