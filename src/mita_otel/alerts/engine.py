"""The two threads behind alerts: one counts and looks at the rules, the other delivers. Nobody waits for them."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from mita_otel.alerts.book import AlertBook, BookUnavailableError
from mita_otel.alerts.courier import STAGE, Courier
from mita_otel.alerts.evaluation import Evaluation
from mita_otel.alerts.matching import Matcher, is_named
from mita_otel.alerts.points import Point, Sample
from mita_otel.alerts.signal import Signal
from mita_otel.alerts.sums import SpanSums
from mita_otel.policy.alerts import AlertPolicy, Stream
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.alerts")

SECOND_NS: Final = 1_000_000_000
_MAX_BATCH: Final = 500
_DELAY_S: Final = 0.2
_LOOK_S: Final = 10.0
"""Seconds between two looks at how healthy telemetry is."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a check of health said."""

    name: str
    failing: bool
    said: str = ""


Looks = Callable[[], Iterable[Look]]


class AlertEngine(Stage):
    """Counts, looks at the rules, and has messages delivered.

    Args:
        policy: The rules, and how often they are looked at.
        book: What is remembered.
        evaluation: Looks at the rules. None: this process only counts; another one looks (`mita-otel alerts run`).
        courier: Delivers. None: likewise.
        sums: Counts spans.
        redactor: What is kept of an event passes it.
        losses: Where events without room are counted.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        policy: AlertPolicy,
        book: AlertBook,
        evaluation: Evaluation | None,
        courier: Courier | None,
        sums: SpanSums,
        redactor: Redactor,
        losses: Losses,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._policy = policy
        self._book = book
        self._evaluation = evaluation
        self._courier = courier
        self._sums = sums
        self._redactor = redactor
        self._losses = losses
        self._clock_ns = clock_ns
        rules = {name: rule for name, rule in policy.rules.items() if rule.is_local}
        self._matcher = Matcher(rules)
        self._on_health = {name: rule for name, rule in rules.items() if rule.on == ("health",)}
        self._looks: Looks | None = None
        self.unavailable = ""
        """Why the book cannot be used now; empty: it can."""
        self._forget()
        self._counter: BoundedWorker[Signal] = BoundedWorker(
            self._count,
            name="mita-otel-alerts",
            max_items=policy.max_events,
            max_batch=_MAX_BATCH,
            delay_s=_DELAY_S,
            on_idle=self.tick,
            idle_s=policy.evaluate_s,
            on_flush=lambda left_s: self.tick(),
            on_stop=book.close,
        )
        self._deliverer: BoundedWorker[bool] | None = None
        if courier is not None:
            self._deliverer = BoundedWorker(
                lambda wakes: self._deliver(),
                name="mita-otel-courier",
                max_items=1,
                max_batch=1,
                delay_s=0.01,
                on_flush=lambda left_s: self._deliver(left_s),
                on_stop=courier.close,
                on_idle=self._deliver,
                idle_s=min(1.0, policy.evaluate_s),
            )
        after_fork_in_child(self._forget)

    def _forget(self) -> None:
        self._pending: deque[Point] = deque(maxlen=self._policy.max_events)
        self._ticked_ns = 0
        self._looked_ns = 0
        self._leads = False
        self._sums.forget()

    @property
    def streams(self) -> frozenset[Stream]:
        """What any rule counts one by one."""
        return self._matcher.streams

    @property
    def failing(self) -> dict[str, str]:
        """The channels whose last message did not arrive, and why."""
        return {} if self._courier is None else dict(self._courier.failing)

    def start(self) -> None:
        """Start the threads, if they do not run. After a fork, the first thing that is counted starts them."""
        self._counter.start()
        if self._deliverer is not None:
            self._deliverer.start()

    def watch_health(self, looks: Looks) -> None:
        """Ask how healthy telemetry is, now and then, if a rule wants to know."""
        if self._on_health:
            self._looks = looks

    def take(self, signal: Signal) -> None:
        """Queue a signal, on anybody's thread."""
        if not self._counter.put(signal):
            self._losses.add(STAGE, "queue_full")

    def flush(self, deadline_s: float) -> bool:
        """Count what waits, evaluate the rules and deliver what is due. Returns False if the deadline passed first."""
        if not self._counter.started and not self._counter.waiting:
            return True
        counted = self._counter.flush(seconds_left(deadline_s))
        if self._deliverer is None:
            return counted
        return self._deliverer.flush(seconds_left(deadline_s)) and counted

    def abandon(self) -> None:
        """Count the signals that no rule has seen as lost."""
        self._losses.add(STAGE, DEADLINE_PASSED, self._counter.count_as_lost())

    def close(self) -> None:
        """Stop. Flush first: this does not wait."""
        self._counter.close()
        if self._deliverer is not None:
            self._deliverer.close()

    # -- on the counting thread -----------------------------------------------------------------------
    def _count(self, signals: list[Signal]) -> None:
        points = [point for signal in signals for point in self._points(signal)]
        if points:
            self._keep(points)
        if self._clock_ns() - self._ticked_ns >= self._policy.evaluate_s * SECOND_NS:
            self.tick()
        elif points:
            self._look()

    def tick(self) -> None:
        """Take what was counted of spans, and look at every rule, if this is the process that does."""
        self._ticked_ns = self._clock_ns()
        self._keep([*self._sums.take(), *self._health()])
        if self._evaluation is None:
            return
        try:
            self._leads = self._book.leads()
        except BookUnavailableError as error:
            self._leads = False
            self._say(str(error))
            return
        self._look()

    def _look(self) -> None:
        if self._evaluation is None or not self._leads:
            return
        try:
            with self._book.turn() as turn:
                messages = self._evaluation.evaluate(turn, self._clock_ns())
        except BookUnavailableError as error:
            self._say(str(error))
            return
        self._say("")
        if messages and self._deliverer is not None:
            self._deliverer.put(True)

    def _points(self, signal: Signal) -> list[Point]:
        matches = self._matcher.match(signal)
        if not matches:
            return []
        sample = redacted_sample(signal, self._redactor)
        return [
            Point(one.rule, self._redactor.text(one.subject), signal.at_ns, sample=sample) for one in matches
        ]

    def _health(self) -> list[Point]:
        now_ns = self._clock_ns()
        if self._looks is None or now_ns - self._looked_ns < _LOOK_S * SECOND_NS:
            return []
        self._looked_ns = now_ns
        try:
            looks = list(self._looks())
        except Exception:
            _logger.debug("the health of telemetry could not be read", exc_info=True)
            return []
        points = []
        for name, rule in self._on_health.items():
            some = [look for look in looks if is_named(rule, look.name)]
            if "name" not in rule.group_by:
                bad = [look for look in some if look.failing]
                some = [Look("", bool(bad), "; ".join(f"{one.name}: {one.said}" for one in bad))]
            points += [
                Point(
                    name,
                    look.name,
                    now_ns,
                    int(look.failing),
                    1,
                    Sample(message=self._redactor.text(look.said)) if look.failing else None,
                    single=False,
                )
                for look in some
            ]
        return points

    def _keep(self, points: Sequence[Point]) -> None:
        """Add points to the book; while it does not answer they wait, the oldest go first."""
        too_many = len(self._pending) + len(points) - self._policy.max_events
        if too_many > 0:
            self._losses.add(STAGE, "points_dropped", too_many)
        self._pending.extend(points)
        if not self._pending:
            return
        waiting = list(self._pending)
        try:
            self._book.add(waiting)
        except BookUnavailableError as error:
            self._say(str(error))
            return
        self._pending.clear()

    def _say(self, trouble: str) -> None:
        if trouble and not self.unavailable:
            _logger.error("alerts: %s; what is counted meanwhile is kept and told later", trouble)
        self.unavailable = trouble

    # -- on the delivering thread ---------------------------------------------------------------------
    def _deliver(self, left_s: float | None = None) -> None:
        if self._courier is not None and self._leads:
            self._courier.deliver(None if left_s is None else time.monotonic() + left_s)


def redacted_sample(signal: Signal, redactor: Redactor) -> Sample:
    """Return what may be shown of a signal."""
    return replace(
        Sample(event_id=signal.event_id, trace_id=signal.trace_id, severity=signal.severity),
        message=redactor.text(signal.message),
        name=redactor.text(signal.name),
        category=redactor.text(signal.category),
        operation=redactor.text(signal.operation),
    )
