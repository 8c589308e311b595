"""Tells whoever listens that a limit was broken: off the request's thread, and off the pipeline's."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Protocol

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
    """A limit that was broken. Nothing in it is a secret: names are the policy's, or redacted."""

    kind: Kind
    rule: str
    """The policy's line, as in `api.financial.GET`, or `repeated_queries.max_repeats`."""
    operation: str
    """As in `GET /api/accounts/{id}/balance`."""
    limit: float
    """Milliseconds; of repeated queries, how often a statement may run."""
    value: float
    """Milliseconds that it took; of repeated queries, how often the statement ran."""
    at_s: float
    """When the span ended, in seconds since the epoch."""
    trace_id: str
    """32 hexadecimal digits; empty if unknown."""
    span_id: str
    """16 hexadecimal digits; empty if unknown."""


class BreachListener(Protocol):
    """Something that acts on breaches, as alerts do."""

    def on_breach(self, report: BreachReport, /) -> None:
        """Hear of a breach. Called on a thread of its own, one report after another; may take its time."""


class BreachSignal(Stage):
    """Carries reports to listeners over a bounded queue. Without a listener a report costs nothing.

    Args:
        losses: Where reports that found no room are counted.
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
        """Tell the listener of every breach from now on."""
        self._listeners = (*self._listeners, listener)

    def send(self, report: BreachReport) -> None:
        """Queue a report for the listeners."""
        if self._listeners and not self._worker.put(report):
            self._losses.add(_STAGE, "queue_full")

    def flush(self, deadline_s: float) -> bool:
        """Wait until the listeners have received every report so far. Returns False if the deadline passed first."""
        return not self._listeners or self._worker.flush(seconds_left(deadline_s))

    def abandon(self) -> None:
        """Count the reports that no listener has received as lost."""
        self._losses.add(_STAGE, DEADLINE_PASSED, self._worker.count_as_lost())

    def close(self) -> None:
        """Stop. Flush first: this does not wait for a listener or a store."""
        self._worker.close()

    def _notify(self, reports: list[BreachReport]) -> None:
        for report in reports:
            for listener in self._listeners:
                try:
                    listener.on_breach(report)
                except Exception:
                    if id(listener) not in self._reported:
                        self._reported.add(id(listener))
                        _logger.exception(
                            "breach listener %s failed; it will not be reported again",
                            type(listener).__name__,
                        )
