"""The thread that moves entries to the database, and retries while the database is down."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry.instrumentation.utils import suppress_instrumentation

from mita_otel.audit.committer import Committer
from mita_otel.audit.errors import AuditError, ChainConflictError
from mita_otel.audit.mover import ChainProgress, Mover
from mita_otel.errors import raise_interrupt
from mita_otel.policy.storage import MoverPolicy
from mita_otel.store.errors import StoreError, first_line

_logger = logging.getLogger("mita_otel.audit")


@dataclass(frozen=True, slots=True)
class MoverState:
    """Whether entries reach the database."""

    failed_since: float | None = None
    """Monotonic seconds. None: entries reach the database."""
    error: str = ""
    last_moved: float | None = None
    """Monotonic seconds of the last time that the spool was empty."""


class MoverThread:
    """Moves the entries of this process from the spool, and those that dead processes left there.

    Args:
        policy: Delays and retries.
        committer: Writes the spool.
        open_mover: Opens the database. Called on the thread at the first move, and again if it failed.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        policy: MoverPolicy,
        committer: Committer,
        open_mover: Callable[[], Mover],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._committer = committer
        self._open_mover = open_mover
        self._clock = clock
        self._reset()

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.RLock())
        self._thread: threading.Thread | None = None
        self._wanted = 0
        """Rounds that were requested."""
        self._done = 0
        """Requested rounds that started after their request and moved everything."""
        self._tried = 0
        self._trying = False
        self._urgent = False
        self._stopping = False
        self._mover: Mover | None = None
        self._progress: tuple[str, ChainProgress] | None = None
        self._adopt_at = float("-inf")
        self._abandoned = 0
        self._pause_s = 0.0
        self.state = MoverState()

    @property
    def started(self) -> bool:
        """Whether the thread was started."""
        return self._thread is not None

    def wake(self) -> None:
        """Request a round. Starts the thread if it does not run."""
        with self._changed:
            self._wanted += 1
            self._changed.notify_all()
            if self._thread is None and not self._stopping:
                thread = threading.Thread(target=self._run, name="mita-otel-audit", daemon=True)
                try:
                    thread.start()
                except RuntimeError:
                    return  # the interpreter is shutting down: the entries stay in the spool
                self._thread = thread

    def flush(self, timeout_s: float) -> bool:
        """Wait until all entries that are in the spool now are in the database. False if that takes too long."""
        with self._changed:
            if self._stopping:
                return self._done >= self._wanted
            self.wake()
            if self._thread is None:
                return False
            wanted = self._wanted
            # A round that starts after now and fails ends the wait as well: the database is down.
            tries = self._tried + 1 + self._trying
            self._urgent = True
            self._changed.notify_all()
            self._changed.wait_for(
                lambda: (
                    self._done >= wanted or (self._tried >= tries and self.state.failed_since is not None)
                ),
                max(0.0, timeout_s),
            )
            return self._done >= wanted

    def stop(self, timeout_s: float) -> bool:
        """Flush, then end the thread. False if entries are left in the spool."""
        flushed = self.flush(timeout_s)
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        return flushed

    def restart(self) -> None:
        """Allow the thread to be started again after `stop`."""
        with self._changed:
            if self._stopping:
                self._stopping = False
                self._thread = None

    def forget(self) -> None:
        """Reset the state in a forked child, which has no such thread."""
        self._reset()

    def _run(self) -> None:
        while True:
            with self._changed:
                self._wait()
                if self._stopping:
                    return
                wanted = self._wanted
                self._urgent = False
                self._trying = True
            moved = self._try()
            with self._changed:
                self._trying = False
                self._tried += 1
                if moved:
                    self._done = max(self._done, wanted)
                self._changed.notify_all()

    def _wait(self) -> None:
        if self._pause_s:
            self._changed.wait_for(lambda: self._urgent or self._stopping, self._pause_s)
            return
        self._changed.wait_for(
            lambda: self._wanted > self._done or self._urgent or self._stopping, self._policy.adopt_s
        )
        if not self._urgent:
            self._changed.wait_for(lambda: self._urgent or self._stopping, self._policy.delay_ms / 1000)

    def _try(self) -> bool:
        try:
            with suppress_instrumentation():
                self._move()
        except BaseException as error:  # noqa: BLE001 - the entries stay in the spool whatever fails
            raise_interrupt(error)
            self._failed(error)
            return False
        if self.state.failed_since is not None:
            _logger.warning("audit entries reach the database again")
        self._pause_s = 0.0
        self.state = MoverState(last_moved=self._clock())
        return True

    def _move(self) -> None:
        mover = self._mover = self._mover or self._open_mover()
        self._committer.settle()
        abandoned, position = self._committer.abandoned, self._committer.position
        if abandoned != self._abandoned:
            self._abandoned, self._adopt_at = abandoned, float("-inf")
        own = None if position is None else position[0]
        if position is not None:
            if self._progress is None or self._progress[0] != position[0]:
                self._progress = (position[0], ChainProgress())
            try:
                mover.move(position[0], self._progress[1], position[1])
            except ChainConflictError:
                self._committer.abandon()
                raise
        if self._clock() >= self._adopt_at:
            mover.adopt(own)
            self._adopt_at = self._clock() + self._policy.adopt_s

    def _failed(self, error: BaseException) -> None:
        policy = self._policy
        first = self.state.failed_since is None
        self._pause_s = (
            policy.retry_first_s
            if first
            else min(policy.retry_max_s, self._pause_s * 2 or policy.retry_first_s)
        )
        reason = first_line(error)
        since = self._clock() if first else self.state.failed_since
        if first or reason != self.state.error:
            # The rest of a database error may quote the row, which must not get into a log.
            known = isinstance(error, StoreError | AuditError | OSError) or hasattr(error, "orig")
            _logger.error(
                "audit entries wait in the spool and are safe there: %s",
                reason,
                exc_info=None if known else error,
            )
        self.state = MoverState(since, reason, self.state.last_moved)
