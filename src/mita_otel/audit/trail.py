"""The audit trail of one process: entries are written to the disk first, and then moved to the database."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from mita_otel import environment_variables as variables
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.committer import AuditReceipt, Committer, WriteState
from mita_otel.audit.draft import Draft, Drafter, Origin
from mita_otel.audit.errors import AuditWriteError
from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
from mita_otel.audit.mover import Mover
from mita_otel.audit.mover_thread import MoverThread
from mita_otel.errors import raise_interrupt
from mita_otel.policy.storage import AuditPolicy
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.redaction import Redactor
from mita_otel.spool import SpoolFolder

_logger = logging.getLogger("mita_otel.audit")

_LOG_AGAIN_S: Final = 60.0
_MEGABYTE: Final = 1_000_000
_NO_KEY: Final = (
    f"{variables.AUDIT_KEY} is not set: the audit chain is unsigned, and anyone with write access to the database can "
    "forge it. Create a key with: python -c 'import secrets; print(secrets.token_urlsafe(32))'"
)


@dataclass(frozen=True, slots=True)
class AuditHealth:
    """The state of the trail. A readiness check uses `ok`; the rest is for operators."""

    ok: bool
    """Whether entries can be written to the disk. It stays true while the database is down."""
    error: str
    """Why entries cannot be written, or do not reach the database. Empty: no problem."""
    chain: str | None
    """The current chain."""
    keyed: bool
    """Whether the chain is signed with a key."""
    refused: int
    """Entries that failed since the last success."""
    waiting_bytes: int
    """Size of the entries in the spool, of all processes that share it."""
    waiting_too_much: bool
    """Whether `waiting_bytes` exceeds `audit.spool.warn_megabytes`."""
    seconds_failing: float
    """How long entries have not reached the database. 0: they reach it."""


class AuditTrail:
    """Records audit events. All methods are thread-safe and work after a fork.

    Args:
        policy: The settings of the trail.
        redactor: Redacts entries before they are written.
        keys: The keys that sign the chain.
        origin: Returns what the entries say about this process. Called again after a fork.
        folder: The spool.
        open_mover: Opens the database. Called on the mover's thread at the first move.
        opening: Details of the entry about the policy, at the start of each chain.
        on_recorded: Called with each recorded entry, redacted, and its receipt.
        move_on_demand: Whether entries stay on the disk until something reads the database.
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
        move_on_demand: bool = False,
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
        self._logged_at = float("-inf")
        self._warned = False
        self.begun = False
        """Whether the trail was started, by this process or by its parent before a fork."""
        self._committer = Committer(
            folder,
            policy.spool,
            keys,
            opening=self._first_entries,
            closing=self._last_entry,
            failure=self._failure_entry,
            clock_ns=clock_ns,
        )
        self._move_on_demand = move_on_demand
        self._moving = MoverThread(policy.mover, self._committer, open_mover, clock=clock)
        after_fork_in_child(self._forget)

    def record(self, event: AuditEvent) -> AuditReceipt | None:
        """Record an event. If this returns a receipt, the entry is on the disk.

        Returns:
            The position of the entry in its chain. None: it could not be written, and `audit.on_failure` is `log`.

        Raises:
            AuditWriteError: It could not be written (because the disk is full, for example), and `audit.on_failure`
                is `raise`.
        """
        draft = self._drafter.draft(event, self._here)
        try:
            receipt = self._committer.commit(draft)
        except AuditWriteError as error:
            self._log(error)
            if self.policy.on_failure == "raise":
                raise
            return None
        self.begun = True
        self._moving.restart()
        self._wake()
        if self._on_recorded is not None:
            try:
                self._on_recorded(draft, receipt)
            except BaseException as error:
                raise_interrupt(error)
                _logger.debug("the callback for a recorded audit entry failed", exc_info=True)
        return receipt

    def start(self) -> None:
        """Start the chain now, with its entries about the start and the policy.

        Raises:
            AuditWriteError: They could not be written, and `audit.on_failure` is `raise`.
        """
        try:
            self._committer.open()
        except AuditWriteError as error:
            self._log(error)
            if self.policy.on_failure == "raise":
                raise
        else:
            self.begun = True
            self._wake()

    def flush(self, timeout_s: float) -> bool:
        """Move all entries to the database. False: not finished in time; the rest stays in the spool."""
        return self._moving.flush(timeout_s)

    @property
    def started(self) -> bool:
        """Whether this process has recorded an entry."""
        return self._moving.started

    def end(self) -> None:
        """End the chain with a final entry. Later entries start another chain."""
        if self._committer.close() is not None:
            self._wake()

    def close(self, timeout_s: float) -> bool:
        """End the chain with a final entry, and flush. Later entries start another chain.

        If the database was already down, this does not wait for it again.
        """
        ended = self._committer.close() is not None
        if not self._moving.started and (self._move_on_demand or not ended):
            return True
        return self._moving.stop(0 if self._moving.state.failed_since is not None else timeout_s)

    def user_id(self, user_id: str) -> str | None:
        """Return a user's id in the form that entries contain, to search for it."""
        return self._drafter.user_id(user_id)

    def health(self) -> AuditHealth:
        """Return the state of the trail."""
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

    def _wake(self) -> None:
        if self._moving.started or not self._move_on_demand:
            self._moving.wake()

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
        # PCI DSS 10.7: a failure of the log is itself an event.
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

    def _log(self, error: AuditWriteError) -> None:
        now = self._clock()
        if now - self._logged_at >= _LOG_AGAIN_S:
            self._logged_at = now
            _logger.critical("%s (%d entries refused so far)", error, self._committer.state.refused)

    def _forget(self) -> None:
        self._committer.forget()
        self._moving.forget()
        self._here = self._origin()
