"""The audit trail of one process: what is recorded is on the disk, and finds its way to the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mita_otel import environment_variables as variables
from mita_otel.audit.committer import AuditReceipt, Committer, WriteState
from mita_otel.audit.draft import Draft, Drafter, Origin
from mita_otel.audit.errors import AuditWriteError
from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
from mita_otel.audit.keys import AuditKeys
from mita_otel.audit.mover import Mover
from mita_otel.audit.mover_thread import MoverThread
from mita_otel.policy.audit import AuditPolicy
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.redaction import Redactor
from mita_otel.spool import SpoolFolder

_logger = logging.getLogger("mita_otel.audit")

_SAY_AGAIN_S: Final = 60.0
_MEGABYTE: Final = 1_000_000
_NO_KEY: Final = (
    f"{variables.AUDIT_KEY} is not set: audit entries are chained without a key, and whoever can write to the "
    "database could chain others. Make one with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
)


@dataclass(frozen=True, slots=True)
class AuditHealth:
    """How the trail is. `ok` is what a readiness check asks; the rest is for people."""

    ok: bool
    """Whether entries can be made durable. A database that is down is no reason to say no."""
    error: str
    """Why entries cannot be made durable, or do not reach the database; empty: all is well."""
    chain: str | None
    """The current chain."""
    keyed: bool
    """Whether the chain is signed with a key."""
    refused: int
    """Entries that were not recorded since the last one that was."""
    waiting_bytes: int
    """Size of what waits in the spool, of all processes that share it."""
    waiting_too_much: bool
    """Whether that is more than `audit.spool.warn_megabytes`."""
    seconds_failing: float
    """How long entries have not reached the database; 0: they do."""


class AuditTrail:
    """Records audit events. Every method is safe on any thread, and after a fork.

    Args:
        policy: How the trail is kept.
        redactor: What must never be written.
        keys: Sign the chain.
        origin: Makes what the entries say of this process. Asked again after a fork.
        folder: The spool.
        open_mover: Opens the way to the database. Called on a thread of its own, when it is first needed.
        opening: What the entry about the policy says, at the beginning of each chain.
        on_recorded: Called with each event that was recorded, redacted fields and receipt.
        clock_ns: Nanoseconds since the epoch.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        policy: AuditPolicy,
        redactor: Redactor,
        keys: AuditKeys,
        *,
        origin: Callable[[], Origin],
        folder: SpoolFolder,
        open_mover: Callable[[], Mover],
        opening: Mapping[str, Any],
        on_recorded: Callable[[Draft, AuditReceipt], None] | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.policy = policy
        self.keys = keys
        self.folder = folder
        self._origin = origin
        self._here = origin()
        self._drafter = Drafter(policy, redactor)
        self._opening = opening
        self._on_recorded = on_recorded
        self._clock = clock
        self._said_at = float("-inf")
        self._warned = False
        self.begun = False
        """Whether the trail was begun, by this process or by the one that it was forked from."""
        self._committer = Committer(
            folder,
            policy.spool,
            keys,
            opening=self._first_entries,
            closing=self._last_entry,
            failure=self._failure_entry,
            clock_ns=clock_ns,
        )
        self._moving = MoverThread(policy.mover, self._committer, open_mover, clock=clock)
        after_fork_in_child(self._forget)

    def record(self, event: AuditEvent) -> AuditReceipt | None:
        """Record an event. When this returns a receipt, the entry is on the disk and will not be lost.

        Returns:
            Where it stands; None if it could not be written and `audit.on_failure` is `log`.

        Raises:
            AuditWriteError: It could not be written (a full disk, say), and `audit.on_failure` is `raise`.
        """
        draft = self._drafter.draft(event, self._here)
        try:
            receipt = self._committer.commit(draft)
        except AuditWriteError as error:
            self._say(error)
            if self.policy.on_failure == "raise":
                raise
            return None
        self.begun = True
        self._moving.restart()
        self._moving.wake()
        if self._on_recorded is not None:
            try:
                self._on_recorded(draft, receipt)
            except Exception:
                _logger.debug("an audit entry could not be told to others", exc_info=True)
        return receipt

    def start(self) -> None:
        """Begin the chain now, with its entries about the start and the policy.

        Raises:
            AuditWriteError: They could not be written, and `audit.on_failure` is `raise`.
        """
        try:
            self._committer.open()
        except AuditWriteError as error:
            self._say(error)
            if self.policy.on_failure == "raise":
                raise
        else:
            self.begun = True
            self._moving.wake()

    def flush(self, timeout_s: float) -> bool:
        """Bring everything to the database. False: not in time; the spool keeps it."""
        return self._moving.flush(timeout_s)

    @property
    def started(self) -> bool:
        """Whether anything was recorded by this process."""
        return self._moving.started

    def end(self) -> None:
        """End the chain with an entry that says so. What comes later begins another chain."""
        if self._committer.close() is not None:
            self._moving.wake()

    def close(self, timeout_s: float) -> bool:
        """End the chain with an entry that says so, and flush. What comes later begins another chain.

        Where entries have not reached the database before, this does not wait for it again.
        """
        if self._committer.close() is None and not self._moving.started:
            return True
        return self._moving.stop(0 if self._moving.state.failed_since is not None else timeout_s)

    def user_id(self, user_id: str) -> str | None:
        """Return a user's id as it is written, and so as it is found again."""
        return self._drafter.user_id(user_id)

    def health(self) -> AuditHealth:
        """Return how the trail is."""
        written, moving = self._committer.state, self._moving.state
        waiting = self.folder.waiting_bytes()
        position = self._committer.position
        return AuditHealth(
            ok=not written.error,
            error=written.error or moving.error,
            chain=None if position is None else position[0],
            keyed=self.keys.keyed,
            refused=written.refused,
            waiting_bytes=waiting,
            waiting_too_much=waiting > self.policy.spool.warn_megabytes * _MEGABYTE,
            seconds_failing=0.0 if moving.failed_since is None else self._clock() - moving.failed_since,
        )

    def _first_entries(self) -> Sequence[Draft]:
        if not self.keys.keyed and not self._warned:
            self._warned = True
            _logger.warning(_NO_KEY)
        return [
            self._own(AuditEventType.AUDIT_START, "audit_trail", {"signed": self.keys.keyed}),
            self._own(AuditEventType.CONFIGURATION_CHANGE, "policy", self._opening),
        ]

    def _last_entry(self) -> Draft:
        return self._own(AuditEventType.AUDIT_STOP, "audit_trail", {})

    def _failure_entry(self, state: WriteState) -> Draft:
        # PCI DSS 10.7: that the log failed is itself an event.
        details = {"refused": state.refused, "since_ns": state.since_ns, "error": state.error}
        return self._own(AuditEventType.AUDIT_FAILURE, "audit_trail", details, AuditOutcome.FAILURE)

    def _own(
        self,
        event_type: AuditEventType,
        resource: str,
        details: Mapping[str, Any],
        outcome: AuditOutcome = AuditOutcome.SUCCESS,
    ) -> Draft:
        event = AuditEvent(event_type=event_type, resource_type=resource, details=details, outcome=outcome)
        return self._drafter.draft(event, self._here)

    def _say(self, error: AuditWriteError) -> None:
        now = self._clock()
        if now - self._said_at >= _SAY_AGAIN_S:
            self._said_at = now
            _logger.critical("%s (%d entries refused so far)", error, self._committer.state.refused)

    def _forget(self) -> None:
        self._committer.forget()
        self._moving.forget()
        self._here = self._origin()
