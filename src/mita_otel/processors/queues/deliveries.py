"""How the last tries of an exporter went: what health asks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from mita_otel.processors.queues.forks import after_fork_in_child


@dataclass(frozen=True, slots=True)
class DeliveryState:
    """How it went. Times are seconds since the epoch."""

    last_success_s: float | None = None
    failing_since_s: float | None = None
    """When the first try failed after the last one that did not. None: the last one did not, or there was none."""
    why: str = ""
    """What went wrong last."""


class Deliveries:
    """Remembers; thread-safe.

    Args:
        clock: Seconds since the epoch.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._forget()
        after_fork_in_child(self._forget)

    def _forget(self) -> None:
        self._lock = threading.RLock()
        self._state = DeliveryState()

    @property
    def state(self) -> DeliveryState:
        """How it went."""
        return self._state

    def succeeded(self) -> None:
        """Note that something arrived."""
        with self._lock:
            self._state = DeliveryState(last_success_s=self._clock())

    def failed(self, why: str) -> None:
        """Note that something did not arrive."""
        with self._lock:
            since_s = self._state.failing_since_s
            self._state = DeliveryState(
                self._state.last_success_s, self._clock() if since_s is None else since_s, why
            )
