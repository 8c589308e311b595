"""The gateway's recent state: losses, and since when destinations fail or the engine is silent."""

from __future__ import annotations

import time
from collections.abc import Callable

from mita_otel.mobile.reply import EngineStatus
from mita_otel.processors.queues.forks import ForkSafeLock

_OK = "ok"


class GatewayStatus:
    """Remembers when problems occurred; thread-safe.

    Args:
        clock: Monotonic seconds.
    """

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = ForkSafeLock()
        self._lost_at: dict[str, float] = {}
        self._failing_since: dict[str, float] = {}
        self._silent_since: float | None = None

    def update(self, status: EngineStatus | None) -> None:
        """Record a status of the engine. None: it did not answer."""
        with self._lock:
            now = self._clock()
            if status is None:
                self._silent_since = now if self._silent_since is None else self._silent_since
                return
            self._silent_since = None
            for reason, _ in status.lost:
                self._lost_at[reason] = now
            self._failing_since = {
                name: self._failing_since.get(name, now)
                for name, state in status.destinations.items()
                if state != _OK
            }

    def lost_within(self, seconds: float) -> list[str]:
        """Return the reasons of losses within the last seconds."""
        with self._lock:
            since = self._clock() - seconds
            return sorted(reason for reason, at in self._lost_at.items() if at >= since)

    def failing_s(self) -> dict[str, float]:
        """Return for how many seconds each failing destination has failed."""
        with self._lock:
            now = self._clock()
            return {name: now - since for name, since in sorted(self._failing_since.items())}

    def silent_s(self) -> float | None:
        """Return for how many seconds the engine has been silent. None: it answers."""
        with self._lock:
            return None if self._silent_since is None else self._clock() - self._silent_since
