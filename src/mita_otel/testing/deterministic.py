"""Ids that count, and a clock that moves on request, for tests that compare whole traces."""

from __future__ import annotations

import itertools
import threading
from typing import Final

from opentelemetry.sdk.trace.id_generator import IdGenerator

_START_NS: Final = 1_767_225_600_000_000_000
"""2026-01-01 00:00 UTC."""


class ManualClock:
    """A clock that stands still until it is advanced. Thread-safe.

    Args:
        start_ns: Nanoseconds since the epoch.
    """

    def __init__(self, start_ns: int = _START_NS) -> None:
        self._now_ns = start_ns
        self._lock = threading.Lock()

    def advance(self, seconds: float) -> None:
        """Let time pass.

        Args:
            seconds: Zero or more.

        Raises:
            ValueError: The number is negative.
        """
        if seconds < 0:
            raise ValueError(f"a clock cannot go back: advance({seconds})")
        with self._lock:
            self._now_ns += round(seconds * 1e9)

    def time_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return self._now_ns


class SequentialIds(IdGenerator):
    """Trace ids and span ids that count from 1."""

    def __init__(self) -> None:
        self._traces = itertools.count(1)
        self._spans = itertools.count(1)

    def generate_trace_id(self) -> int:
        """Return the next trace id."""
        return next(self._traces)

    def generate_span_id(self) -> int:
        """Return the next span id."""
        return next(self._spans)
