"""Evaluates rules and delivers notifications in the calling thread: `mita-otel alerts run`."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mita_otel.alerts.dispatcher import NotificationDispatcher
from mita_otel.alerts.evaluator import RuleEvaluator
from mita_otel.alerts.store import AlertStore, AlertStoreUnavailableError

_logger = logging.getLogger("mita_otel.alerts")


class AlertRunner:
    """Does what the engine's threads do, for workers that only count.

    Args:
        store: The store that the workers write to.
        evaluator: Evaluates rules.
        dispatcher: Delivers notifications.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        store: AlertStore,
        evaluator: RuleEvaluator,
        dispatcher: NotificationDispatcher,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._store = store
        self._evaluator = evaluator
        self._dispatcher = dispatcher
        self._clock_ns = clock_ns

    def run_once(self) -> int | None:
        """Evaluate every rule once, and deliver what is due.

        Returns:
            The number of notifications that were queued. None: another process holds the lease.

        Raises:
            AlertStoreUnavailableError: The store does not answer.
        """
        if not self._store.acquire_lease():
            return None
        with self._store.transaction() as transaction:
            notifications = self._evaluator.evaluate(transaction, self._clock_ns())
        self._dispatcher.deliver()
        return len(notifications)

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Repeat until `stop` is set. An unavailable store is logged once and tried again."""
        reported = ""
        while True:
            try:
                self.run_once()
                reported = ""
            except AlertStoreUnavailableError as error:
                if str(error) != reported:
                    reported = str(error)
                    _logger.error("alerts: %s", reported)
            if stop.wait(every_s):
                return
