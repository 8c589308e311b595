"""Takes records from the spool to their destinations: what matters most first, with patience where nobody answers."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.mobile.destinations import Delivery, Destination
from mita_otel.mobile.spool import Spool, WaitingRecord
from mita_otel.mobile.spool_record import DamagedRecordError, SpoolRecord
from mita_otel.policy.mobile import ForwardPolicy, Priority

_logger = logging.getLogger("mita_otel.mobile")

_JITTER: Final = 0.2
_LOOK_S: Final = 1.0
"""Most seconds between two looks while something waits that may not go yet."""

Key = tuple[str, str]
"""Destination and project."""


@dataclass(slots=True)
class _Patience:
    """How a destination that does not answer is left alone."""

    failures: int = 0
    until: float = 0.0
    probing: bool = False
    said: bool = False


class Forwarder:
    """Sends records on threads of its own.

    Args:
        policy: Threads and patience.
        spool: Where records come from.
        destinations: By destination and project.
        on_lost: Told of each record that was given up, with the reason.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        policy: ForwardPolicy,
        spool: Spool,
        destinations: Mapping[Key, Destination],
        on_lost: Callable[[str, Priority], None],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._spool = spool
        self._destinations = dict(destinations)
        self._on_lost = on_lost
        self._clock = clock
        # Its own: the application's sequence of random numbers, which it may have seeded, stays as it is.
        self._chance = random.Random()  # noqa: S311
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        """There is something to send, or the end has come."""
        self._settled = threading.Condition(self._lock)
        """A sender has done its work."""
        self._patience: dict[Key, _Patience] = {key: _Patience() for key in destinations}
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._stopping = False
        self.delivered = 0
        """Parcels that arrived so far."""

    def wake(self) -> None:
        """Say that there is something to send."""
        with self._lock:
            if not self._threads and not self._stopping:
                for number in range(self._policy.senders):
                    thread = threading.Thread(
                        target=self._run, name=f"mita-otel-mobile-{number}", daemon=True
                    )
                    self._threads.append(thread)
                    thread.start()
            self._work.notify()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is left that may go now. False if that took too long."""
        self.wake()
        with self._lock:
            return self._settled.wait_for(
                lambda: not self._working and not self._anything_to_do(), max(0.0, timeout_s)
            )

    def stop(self, timeout_s: float) -> bool:
        """Flush, then end; what is left stays in the spool. False if that took too long."""
        flushed = self.flush(timeout_s)
        with self._lock:
            self._stopping = True
            self._work.notify_all()
        for destination in self._destinations.values():
            destination.close()
        return flushed

    def status(self) -> dict[str, str]:
        """Return how each destination is: `ok`, or `unavailable`."""
        return {
            "/".join(key): "unavailable" if patience.failures else "ok"
            for key, patience in self._patience.items()
        }

    def _anything_to_do(self) -> bool:
        waiting = self._spool.take(self._may_go)
        if waiting is None:
            return False
        self._spool.give_back(waiting, last=False)
        return True

    def _may_go(self, record: SpoolRecord) -> bool:
        key = (record.destination, record.project)
        patience = self._patience.get(key)
        if patience is None or patience.probing or patience.until > self._clock():
            return False
        return self._destinations[key].may_have(record)

    def _rest_s(self) -> float | None:
        """Return how long to wait for work: until patience ends, or a limit may have ended; None: nothing waits."""
        count, _, _ = self._spool.counts()
        if not count:
            return None
        now = self._clock()
        ends_s = [patience.until - now for patience in self._patience.values() if patience.until > now]
        return min(_LOOK_S, *ends_s) if ends_s else _LOOK_S

    def _run(self) -> None:
        with suppress_instrumentation():
            while True:
                with self._lock:
                    waiting = None if self._stopping else self._spool.take(self._may_go)
                    if waiting is None:
                        if self._stopping:
                            return
                        self._work.wait(self._rest_s())
                        continue
                    self._working += 1
                    patience = self._patience[waiting.record.destination, waiting.record.project]
                    # One at a time finds out whether it is back.
                    probing = patience.probing = patience.failures > 0
                try:
                    self._send(waiting)
                finally:
                    with self._lock:
                        patience.probing = False
                        self._working -= 1
                        self._settled.notify_all()
                        if probing:  # the others waited for the outcome
                            self._work.notify_all()

    def _send(self, waiting: WaitingRecord) -> None:
        key = (waiting.record.destination, waiting.record.project)
        try:
            record, payload = self._spool.read(waiting)
        except DamagedRecordError:
            self._give_up(waiting, "damaged")
            return
        try:
            delivery = self._destinations[key].deliver(record, payload)
        except Exception as error:
            _logger.exception("a record for %s could not be delivered", "/".join(key))
            delivery = Delivery("unavailable", type(error).__name__)
        match delivery.outcome:
            case "delivered":
                self._spool.done(waiting)
                self.delivered += 1
                self._answered(key)
            case "rejected":
                self._give_up(waiting, f"rejected_{delivery.reason}")
                self._answered(key)
            case "limited":
                self._spool.give_back(waiting, last=False)
                self._answered(key)
            case "unavailable":
                # Behind the others, should it be its own fault.
                self._spool.give_back(waiting, last=True)
                self._wait(key, delivery.reason)

    def _give_up(self, waiting: WaitingRecord, reason: str) -> None:
        self._spool.done(waiting)
        self._on_lost(reason, waiting.record.priority)

    def _answered(self, key: Key) -> None:
        with self._lock:
            patience = self._patience[key]
            was_away, patience.failures, patience.until, patience.said = patience.said, 0, 0.0, False
        if was_away:
            _logger.warning("mobile telemetry: %s is back", "/".join(key))

    def _wait(self, key: Key, reason: str) -> None:
        with self._lock:
            patience = self._patience[key]
            if patience.until > self._clock():
                return  # another that went at the same time has said so
            longest = self._policy.retry_max_s
            seconds = min(longest, self._policy.retry_first_s * 2 ** min(patience.failures, 16))
            patience.failures += 1
            patience.until = self._clock() + seconds * self._chance.uniform(1 - _JITTER, 1 + _JITTER)
            say, patience.said = not patience.said, True
        if say:
            _logger.warning(
                "mobile telemetry: %s does not take it (%s); it waits in the spool", "/".join(key), reason
            )
