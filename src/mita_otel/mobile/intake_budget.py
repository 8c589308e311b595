"""How many requests may be in memory at the same time, and how many of their bytes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from mita_otel.policy.mobile import IntakePolicy

_LOOK_S: Final = 0.05


class IntakeBusy(Exception):  # noqa: N818 - it is an answer, not an error of ours
    """There was no room in time."""


class IntakeBudget:
    """Counts what is in memory. Lives on the event loop.

    Args:
        policy: The bounds.
        clock: Monotonic seconds.
    """

    def __init__(self, policy: IntakePolicy, clock: Callable[[], float] = time.monotonic) -> None:
        self._max_requests = policy.max_in_flight
        self._max_bytes = int(policy.max_in_flight_megabytes * 1e6)
        self._wait_s = policy.wait_s
        self._clock = clock
        self.requests = 0
        self.bytes = 0

    async def enter(self, expected: int) -> Reservation:
        """Wait for room for a request of that many bytes.

        Raises:
            IntakeBusy: There was none in time.
        """
        deadline = self._clock() + self._wait_s
        while self.requests >= self._max_requests or (self.requests and not self.fits(expected)):
            if self._clock() >= deadline:
                raise IntakeBusy
            await asyncio.sleep(_LOOK_S)
        self.requests += 1
        self.bytes += expected
        return Reservation(self, expected)

    def fits(self, more: int) -> bool:
        """Return whether there is room for more bytes."""
        return self.bytes + more <= self._max_bytes


class Reservation:
    """The room that one request takes. Leave it in the end.

    Args:
        room: The room.
        taken: Bytes that were taken beforehand.
    """

    def __init__(self, room: IntakeBudget, taken: int) -> None:
        self._room = room
        self._taken = taken

    def grow_to(self, size: int) -> None:
        """Take room for what the request has become.

        Raises:
            IntakeBusy: There is none.
        """
        more = size - self._taken
        if more <= 0:
            return
        if self._room.requests > 1 and not self._room.fits(more):
            raise IntakeBusy
        self._room.bytes += more
        self._taken = size

    def leave(self) -> None:
        """Give the room back."""
        self._room.requests -= 1
        self._room.bytes -= self._taken
        self._taken = 0
