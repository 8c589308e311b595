"""All stages of one configuration, flushed, drained and closed together within one deadline."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from time import monotonic
from typing import Final

from mita_otel.errors import raise_interrupt
from mita_otel.policy.runtime import LifecyclePolicy
from mita_otel.processors.queues.losses import Losses, signal_of
from mita_otel.processors.queues.stage import Stage

_logger = logging.getLogger("mita_otel")

_ALMOST: Final = 0.9
"""Fraction of the time after which a flush that failed was late: stages round down the time that is left."""


class Stages:
    """An ordered list of stages. Those that count losses are flushed last and have their own share of the time.

    A stage that raises does not affect the others.

    Args:
        stages: In the order in which they are flushed and closed.
        losses: Where stages count what they lose.
        policy: The deadlines.
    """

    def __init__(self, stages: Iterable[Stage], losses: Losses, policy: LifecyclePolicy) -> None:
        self._stages = tuple(stages)
        self._policy = policy
        self.losses = losses
        """Where stages count what they lose."""
        self._logged: str | None = None
        self._lost = losses.total()

    def keep(self, stage: Stage) -> None:
        """Add a stage at the end."""
        self._stages = (*self._stages, stage)

    def start(self) -> None:
        """Start the background work of all stages."""
        for stage in self._stages:
            _quietly(stage.start)

    def flush(self, timeout_s: float) -> bool:
        """Send everything that has finished.

        Returns False if that was not possible in time, or if something was lost since the last call.
        """
        deadline_s = monotonic() + timeout_s
        sent = all([_flush(self._sending, deadline_s), _flush(self._counting, deadline_s)])
        return self.nothing_lost() and sent

    def drain(self, timeout_s: float) -> bool:
        """Send everything, also what is held for the end of a trace or a chain: the process may be about to end.

        What is not sent in time is counted as lost, and all losses that were not logged yet are logged.
        """
        for stage in self._stages:
            _quietly(stage.drain)
        began_s = monotonic()
        counting = self._counting
        sending_s = timeout_s * (1 - self._policy.shutdown_metrics_share if counting else 1)
        sent = _flush(self._sending, began_s + sending_s)
        late = not sent and _is_over(began_s, sending_s)
        _abandon(self._sending if late else ())
        counted = _flush(counting, began_s + timeout_s)
        counted_late = not counted and _is_over(began_s, timeout_s)
        _abandon(counting if counted_late else ())
        self.losses.log_rest()
        self._log_abandoned(late=late or counted_late, expected=timeout_s == 0)
        return sent and counted

    def close(self) -> None:
        """Close all stages."""
        for stage in (*self._sending, *self._counting):
            _quietly(stage.close)

    @property
    def _sending(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self._stages if not stage.counts_losses)

    @property
    def _counting(self) -> tuple[Stage, ...]:
        return tuple(stage for stage in self._stages if stage.counts_losses)

    def nothing_lost(self) -> bool:
        """Return whether nothing was lost since the last call."""
        before, self._lost = self._lost, self.losses.total()
        return self._lost == before

    def _log_abandoned(self, *, late: bool, expected: bool) -> None:
        """Log what the deadline cost, once for the same losses.

        Args:
            late: Whether a stage was late.
            expected: Whether the caller gave no time at all. That is not logged, unless an earlier call used it up.
        """
        counts = self.losses.abandoned()
        items = ", ".join(f"{count} {signal_of(stage)} at {stage}" for stage, count in sorted(counts.items()))
        lost = f": {items}" if items else ""
        if late and not (expected and self._logged is None) and lost != self._logged:
            self._logged = lost
            _logger.warning(
                "not all telemetry was sent in time (lifecycle.shutdown_timeout_s of the policy): what is still queued "
                "is lost when the process ends%s",
                lost,
            )


def _flush(stages: Iterable[Stage], deadline_s: float) -> bool:
    """Flush stages at the same time where they can; return whether everything was sent."""
    stages = tuple(stages)
    for stage in stages:
        _quietly(partial(stage.flush_async, deadline_s))
    results = [
        _flushed(stage, deadline_s) for stage in stages
    ]  # each one is flushed, whatever the others return
    return all(results)


def _flushed(stage: Stage, deadline_s: float) -> bool:
    try:
        return stage.flush(deadline_s) is not False
    except BaseException as error:
        raise_interrupt(error)
        _logger.debug("%s could not be flushed", type(stage).__name__, exc_info=True)
        return False


def _abandon(stages: Iterable[Stage]) -> None:
    for stage in stages:
        _quietly(stage.abandon)


def _quietly(step: Callable[[], object]) -> None:
    try:
        step()
    except BaseException as error:
        raise_interrupt(error)
        _logger.debug("a step of a stage failed: %r", step, exc_info=True)


def _is_over(began_s: float, timeout_s: float) -> bool:
    return monotonic() - began_s >= timeout_s * _ALMOST
