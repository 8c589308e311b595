"""Counts failed logins: many of one user, or from one address, are an attack."""

from __future__ import annotations

import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from typing import Final

from mita_otel.policy.finance import BruteForcePolicy

_COUNTED_TO: Final = 100
"""Counting stops at this multiple of the policy's number of attempts."""


class FailureCounter:
    """Counts failures in a sliding window in this process; thread-safe and bounded.

    Args:
        policy: The number of failures that are an attack, and the window.
        clock: Monotonic seconds.
    """

    def __init__(self, policy: BruteForcePolicy, clock: Callable[[], float]) -> None:
        self._policy = policy
        self._clock = clock
        self._lock = threading.Lock()
        self._tracked: OrderedDict[str, _Failures] = OrderedDict()

    def add(self, *keys: str, claimed: int = 0) -> tuple[int, bool]:
        """Count a failure of each key (a user, an address).

        Args:
            keys: The user and the address.
            claimed: The count that the application itself reports, over all its processes.

        Returns:
            The highest count within the window, and whether to report an attack: a continuing attack is reported
            once per window.
        """
        now = self._clock()
        highest, attack = claimed, False
        with self._lock:
            for key in keys:
                failures = self._tracked.get(key)
                if failures is None:
                    failures = self._tracked[key] = _Failures(self._policy.attempts * _COUNTED_TO)
                self._tracked.move_to_end(key)
                count = max(claimed, failures.add(now, self._policy.window_s))
                highest = max(highest, count)
                if count >= self._policy.attempts and now - failures.reported_at >= self._policy.window_s:
                    failures.reported_at = now
                    attack = True
            while len(self._tracked) > self._policy.max_tracked:
                self._tracked.popitem(last=False)
        return highest, attack

    def forget(self, *keys: str) -> None:
        """Reset the counts: the user has logged in."""
        with self._lock:
            for key in keys:
                self._tracked.pop(key, None)


class _Failures:
    def __init__(self, longest: int) -> None:
        self.times: deque[float] = deque(maxlen=longest)
        self.reported_at = float("-inf")

    def add(self, now: float, window_s: float) -> int:
        self.times.append(now)
        while self.times[0] <= now - window_s:
            self.times.popleft()
        return len(self.times)
