"""Reports breaches to listeners, on a separate thread."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

from mita_otel.errors import raise_interrupt
from mita_otel.policy.limits import Kind
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses
from mita_otel.processors.queues.stage import Stage, seconds_left
from mita_otel.processors.queues.worker import BoundedWorker

_logger = logging.getLogger("mita_otel")

_MAX_WAITING = 1000
_BATCH = 100
_DELAY_S = 0.05
_STAGE = "breach_listeners"


@dataclass(frozen=True, slots=True)
class BreachReport:
    """A breach of a limit. It holds no secret: its names are from the policy, or redacted."""

    kind: Kind
    rule: str
    """The policy key, such as `api.financial.GET` or `repeated_queries.max_repeats`."""
    operation: str
    """Such as `GET /api/accounts/{id}/balance`."""
    limit: float
    """Milliseconds; for repeated queries, how often a statement may run."""
    value: float
    """Duration in milliseconds; for repeated queries, how often the statement ran."""
    at_s: float
    """End of the span, in seconds since the epoch."""
    trace_id: str
    """32 hexadecimal digits; empty if unknown."""
    span_id: str
    """16 hexadecimal digits; empty if unknown."""


class BreachListener(Protocol):
    """Receives breaches, as the alert engine does."""

    def on_breach(self, report: BreachReport, /) -> None:
        """Handle a breach. Runs on a separate thread, for one report at a time, so it may be slow."""


class BreachSignal(Stage):
    """Passes reports to listeners through a bounded queue. Without a listener, reports are discarded at no cost.

    Args:
        losses: Counts reports that did not fit into the queue.
    """

    def __init__(self, losses: Losses) -> None:
        self._losses = losses
        self._listeners: tuple[BreachListener, ...] = ()
        self._reported: set[int] = set()
        self._worker: BoundedWorker[BreachReport] = BoundedWorker(
            self._notify,
            name="mita-otel-breaches",
            max_items=_MAX_WAITING,
            max_batch=_BATCH,
            delay_s=_DELAY_S,
        )

    def subscribe(self, listener: BreachListener) -> None:
        """Notify the listener of every later breach."""
        self._listeners = (*self._listeners, listener)

    def send(self, report: BreachReport) -> None:
        """Queue a report for the listeners."""
        if self._listeners and not self._worker.put(report):
            self._losses.add(_STAGE, "queue_full")

    def flush(self, deadline_s: float) -> bool:
        """Wait until the listeners have handled every report so far. Returns False if the deadline passed first."""
        return not self._listeners or self._worker.flush(seconds_left(deadline_s))

    def abandon(self) -> None:
        """Count the reports that were not handled as lost."""
        self._losses.add(_STAGE, DEADLINE_PASSED, self._worker.count_as_lost())

    def close(self) -> None:
        """Stop. Flush first: this does not wait for a listener or a store."""
        self._worker.close()

    def _notify(self, reports: list[BreachReport]) -> None:
        for report in reports:
            for listener in self._listeners:
                try:
                    listener.on_breach(report)
                except BaseException as error:
                    raise_interrupt(error)
                    self._losses.add(_STAGE, "listener_failed")
                    if id(listener) not in self._reported:
                        self._reported.add(id(listener))
                        _logger.exception(
                            "breach listener %s failed; further failures are not logged",
                            type(listener).__name__,
                        )
