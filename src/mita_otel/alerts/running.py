"""Looks at the rules and delivers, for workers that only count, or from a schedule: what `mita-otel alerts run` does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from mita_otel.alerts.book import AlertBook, BookUnavailableError
from mita_otel.alerts.courier import Courier
from mita_otel.alerts.evaluation import Evaluation

_logger = logging.getLogger("mita_otel.alerts")


class AlertRunner:
    """Does, in this thread, what a worker that leads does.

    Args:
        book: The book that the workers write.
        evaluation: Looks at the rules.
        courier: Delivers.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self,
        book: AlertBook,
        evaluation: Evaluation,
        courier: Courier,
        *,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._book = book
        self._evaluation = evaluation
        self._courier = courier
        self._clock_ns = clock_ns

    def once(self) -> int | None:
        """Look at every rule once and deliver what is due.

        Returns:
            How many messages were queued; None: another process leads.

        Raises:
            BookUnavailableError: The store does not answer.
        """
        if not self._book.leads():
            return None
        with self._book.turn() as turn:
            messages = self._evaluation.evaluate(turn, self._clock_ns())
        self._courier.deliver()
        return len(messages)

    def run(self, stop: threading.Event, every_s: float) -> None:
        """Do it again and again until `stop` is set. A store that does not answer is said once, and waited for."""
        trouble = ""
        while True:
            try:
                self.once()
                trouble = ""
            except BookUnavailableError as error:
                if str(error) != trouble:
                    trouble = str(error)
                    _logger.error("alerts: %s", trouble)
            if stop.wait(every_s):
                return
