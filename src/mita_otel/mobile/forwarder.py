"""Sends records from the spool to their destinations, most important first, and backs off when one is down."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.errors import raise_interrupt
from mita_otel.mobile.destinations import DamagedRecordError, Delivery, Destination, SpoolRecord
from mita_otel.mobile.spool import Spool, WaitingRecord
from mita_otel.policy.mobile import ForwardPolicy, Priority

_logger = logging.getLogger("mita_otel.mobile")

_JITTER: Final = 0.2
_LOOK_S: Final = 1.0
"""Maximum seconds between two looks while a record waits that must not be sent yet."""

Key = tuple[str, str]
"""Destination and project."""


@dataclass(slots=True)
class _Backoff:
    """The backoff of a destination that does not answer."""

    failures: int = 0
    until: float = 0.0
    probing: bool = False
    logged: bool = False


class Forwarder:
    """Sends records on threads.

    Args:
        policy: Threads and backoff.
        spool: The records.
        destinations: By destination and project.
        on_lost: Called for each record that is dropped, with the reason.
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
        # A generator for this class: the application's random numbers, which it may have seeded, must not change.
        self._chance = random.Random()  # noqa: S311
        self._lock = threading.RLock()
        self._work = threading.Condition(self._lock)
        """A record can be sent, or the forwarder is stopping."""
        self._settled = threading.Condition(self._lock)
        """A sender has finished a record."""
        self._backoffs: dict[Key, _Backoff] = {key: _Backoff() for key in destinations}
        self._threads: list[threading.Thread] = []
        self._working = 0
        self._stopping = False
        self.delivered = 0
        """Records delivered so far."""

    def wake(self) -> None:
        """Notify the senders of a new record."""
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
        """Wait until no record is left that may be sent now. False if that takes too long."""
        self.wake()
        with self._lock:
            return self._settled.wait_for(
                lambda: not self._working and not self._anything_to_send(), max(0.0, timeout_s)
            )

    def stop(self, timeout_s: float) -> bool:
        """Flush, then stop. The rest stays in the spool. False if flushing takes too long."""
        flushed = self.flush(timeout_s)
        with self._lock:
            self._stopping = True
            self._work.notify_all()
        for destination in self._destinations.values():
            destination.close()
        return flushed

    def status(self) -> dict[str, str]:
        """Return the state of each destination: `ok` or `unavailable`."""
        return {
            "/".join(key): "unavailable" if backoff.failures else "ok"
            for key, backoff in self._backoffs.items()
        }

    def _anything_to_send(self) -> bool:
        waiting = self._spool.take(self._may_go)
        if waiting is None:
            return False
        self._spool.give_back(waiting, last=False)
        return True

    def _may_go(self, record: SpoolRecord) -> bool:
        key = (record.destination, record.project)
        backoff = self._backoffs.get(key)
        if backoff is None or backoff.probing or backoff.until > self._clock():
            return False
        return self._destinations[key].may_have(record)

    def _wait_s(self) -> float | None:
        """Return how long to wait: until a backoff or a limit may have ended. None: no record waits."""
        count, _, _ = self._spool.counts()
        if not count:
            return None
        now = self._clock()
        ends_s = [backoff.until - now for backoff in self._backoffs.values() if backoff.until > now]
        return min(_LOOK_S, *ends_s) if ends_s else _LOOK_S

    def _run(self) -> None:
        with suppress_instrumentation():
            while True:
                with self._lock:
                    waiting = None if self._stopping else self._spool.take(self._may_go)
                    if waiting is None:
                        if self._stopping:
                            return
                        self._work.wait(self._wait_s())
                        continue
                    self._working += 1
                    backoff = self._backoffs[waiting.record.destination, waiting.record.project]
                    # One sender at a time probes a destination that was down.
                    probing = backoff.probing = backoff.failures > 0
                try:
                    self._send(waiting)
                except BaseException as error:
                    raise_interrupt(error)
                    _logger.exception("a record of the spool could not be read or settled")
                    self._spool.give_back(waiting, last=True)
                    self._back_off((waiting.record.destination, waiting.record.project), type(error).__name__)
                finally:
                    with self._lock:
                        backoff.probing = False
                        self._working -= 1
                        self._settled.notify_all()
                        if probing:  # the other senders waited for the outcome
                            self._work.notify_all()

    def _send(self, waiting: WaitingRecord) -> None:
        key = (waiting.record.destination, waiting.record.project)
        try:
            record, payload = self._spool.read(waiting)
        except DamagedRecordError:
            self._drop(waiting, "damaged")
            return
        try:
            delivery = self._destinations[key].deliver(record, payload)
        except BaseException as error:
            raise_interrupt(error)
            _logger.exception("a record for %s could not be delivered", "/".join(key))
            delivery = Delivery("unavailable", type(error).__name__)
        match delivery.outcome:
            case "delivered":
                self._spool.done(waiting)
                self.delivered += 1
                self._answered(key)
            case "rejected":
                self._drop(waiting, f"rejected_{delivery.reason}")
                self._answered(key)
            case "limited":
                self._spool.give_back(waiting, last=False)
                self._answered(key)
            case "unavailable":
                # After the others, in case this record causes the failure.
                self._spool.give_back(waiting, last=True)
                self._back_off(key, delivery.reason)

    def _drop(self, waiting: WaitingRecord, reason: str) -> None:
        self._spool.done(waiting)
        self._on_lost(reason, waiting.record.priority)

    def _answered(self, key: Key) -> None:
        with self._lock:
            backoff = self._backoffs[key]
            was_down, backoff.failures, backoff.until, backoff.logged = backoff.logged, 0, 0.0, False
        if was_down:
            _logger.warning("mobile telemetry: %s accepts data again", "/".join(key))

    def _back_off(self, key: Key, reason: str) -> None:
        with self._lock:
            backoff = self._backoffs[key]
            if backoff.until > self._clock():
                return  # a parallel sender has already noted it
            longest = self._policy.retry_max_s
            seconds = min(longest, self._policy.retry_first_s * 2 ** min(backoff.failures, 16))
            backoff.failures += 1
            backoff.until = self._clock() + seconds * self._chance.uniform(1 - _JITTER, 1 + _JITTER)
            log, backoff.logged = not backoff.logged, True
        if log:
            _logger.warning(
                "mobile telemetry: %s does not accept data (%s); records wait in the spool",
                "/".join(key),
                reason,
            )
