"""Loads in the background what `configure()` leaves for later, so that no request waits for it."""

from __future__ import annotations

import contextvars
import logging
import threading
from collections.abc import Callable, Sequence

from mita_otel.errors import raise_interrupt
from mita_otel.processors.queues.forks import FORKS
from mita_otel.processors.queues.stage import Stage

_logger = logging.getLogger("mita_otel")


class WarmUp(Stage):
    """Runs steps once, on a thread that ends afterwards. A step may also run earlier, where its result is needed.

    Args:
        steps: Callables that load modules or build what is needed later.
        max_wait_s: Seconds that a fork and `close` wait for the thread at most.
    """

    def __init__(self, steps: Sequence[Callable[[], object]], *, max_wait_s: float) -> None:
        self._steps = steps
        self._max_wait_s = max_wait_s
        self._stopping = False
        self._thread: threading.Thread | None = None
        # A child whose parent was importing a module during the fork waits forever when it imports that module.
        FORKS.add(before=self._wait)

    def start(self) -> None:
        """Start the thread if it has not run. An interpreter that exits cannot start one."""
        if self._thread is not None or self._stopping:
            return
        self._thread = threading.Thread(target=self._run, name="mita-otel-warm-up", daemon=True)
        try:
            contextvars.Context().run(self._thread.start)
        except RuntimeError:
            _logger.debug("the warm-up could not start", exc_info=True)

    def close(self) -> None:
        """End the thread after its current step."""
        self._stopping = True
        self._wait()

    def _wait(self) -> None:
        thread = self._thread
        if thread is not None and thread is not threading.current_thread() and thread.is_alive():
            thread.join(self._max_wait_s)

    def _run(self) -> None:
        for step in self._steps:
            if self._stopping:
                return
            try:
                step()
            except BaseException as error:
                raise_interrupt(error)
                _logger.debug("a step of the warm-up failed; it runs again where it is needed", exc_info=True)
