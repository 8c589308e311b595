"""Applies retention once a day, in one of all processes, on a thread."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from mita_otel.errors import ConfigurationError, raise_interrupt
from mita_otel.policy import Policy
from mita_otel.policy.storage import RetentionPolicy
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.processors.queues.stage import Stage

if TYPE_CHECKING:
    from mita_otel.audit.installed import LazyAudit
    from mita_otel.audit.retention.apply import RetentionJob
    from mita_otel.store.lease import Lease

_logger = logging.getLogger("mita_otel")

_LEASE_S: Final = 23 * 3600.0
"""Until shortly before the next run: a process that is later on the same day finds the lease taken."""
_LOOK_S: Final = 60.0
"""Seconds between two looks at the clock, which may be adjusted in the meantime."""


class DailyRetention(Stage):
    """Runs `RetentionJob.apply` at the policy's time.

    Args:
        policy: The time of day.
        open_retention: Opens the store and returns the job and the lease of this process. Called on the thread.
        clock: Returns the current time, UTC.
    """

    def __init__(
        self,
        policy: RetentionPolicy,
        open_retention: Callable[[], tuple[RetentionJob, Lease]],
        *,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._policy = policy
        self._open = open_retention
        self._clock = clock
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        after_fork_in_child(self._forget)

    def start(self) -> None:
        """Start the thread if it does not run."""
        if self._thread is not None:
            return
        self._thread = threading.Thread(target=self._run, name="mita-otel-retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the thread after its current run."""
        self._stop.set()

    def run_once(self) -> bool:
        """Apply retention if this process gets the lease. False: another process has it, or the run failed."""
        try:
            retention, lease = self._open()
            if not lease.take(_LEASE_S):
                return False
            applied = retention.apply()
        except ConfigurationError as error:
            _logger.error("retention: %s", error)
            return False
        except BaseException as error:
            raise_interrupt(error)
            _logger.exception("retention failed; the next attempt is tomorrow")
            return False
        _logger.info("retention deleted %d rows", sum(applied.deleted.values()))
        return True

    def next_run(self, after: datetime) -> datetime:
        """Return the time of the next run."""
        hour, minute = map(int, self._policy.at.split(":"))
        today = after.replace(hour=hour, minute=minute, second=0, microsecond=0)
        return today if today > after else today + timedelta(days=1)

    def _run(self) -> None:
        due = self.next_run(self._clock())
        while not self._stop.wait(_LOOK_S):
            now = self._clock()
            if now >= due:
                self.run_once()
                due = self.next_run(now)

    def _forget(self) -> None:
        self._stop = threading.Event()
        self._thread = None


def this_process() -> str:
    """Return a name of this process, for the lease."""
    return f"{socket.gethostname()}:{os.getpid()}:{time.time_ns()}"


def start_retention(policy: Policy, audit: LazyAudit | None) -> DailyRetention | None:
    """Start daily retention if `retention.schedule` says so.

    Returns:
        The running stage. None: the policy schedules nothing, or there is no audit trail to record it.
    """
    if policy.retention.schedule != "daily" or audit is None:
        return None
    holder = this_process()

    def open_retention() -> tuple[RetentionJob, Lease]:
        database = audit.runtime.database()
        from mita_otel.audit.retention.apply import RetentionJob
        from mita_otel.store.lease import Lease
        from mita_otel.store.migrate import require

        require(database, migrate=policy.store.migrate)
        retention = RetentionJob(policy.retention, policy.summary, database, audit.runtime.trail)
        return retention, Lease(database, "retention", holder)

    daily = DailyRetention(policy.retention, open_retention)
    daily.start()
    return daily
