"""The audit trail of this process: built when it is first used, so that a service that records nothing does not load it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mita_otel.audit.errors import AuditUnavailableError
from mita_otel.processors.queues.forks import ForkSafeLock
from mita_otel.processors.queues.stage import Stage

if TYPE_CHECKING:
    from mita_otel.audit.committer import AuditReceipt
    from mita_otel.audit.event import AuditEvent
    from mita_otel.audit.runtime import AuditRuntime


class LazyAudit(Stage):
    """The audit trail as a stage. Before the first use there is nothing to flush and to close.

    Args:
        build: Builds the trail with its reader.
    """

    def __init__(self, build: Callable[[], AuditRuntime]) -> None:
        self._build = build
        self._lock = ForkSafeLock()
        self._runtime: AuditRuntime | None = None

    @property
    def runtime(self) -> AuditRuntime:
        """The trail with its reader. Builds it on first use."""
        if self._runtime is None:
            with self._lock:
                if self._runtime is None:
                    self._runtime = self._build()
        return self._runtime

    @property
    def begun(self) -> bool:
        """Whether the trail was started, by this process or by its parent before a fork."""
        return self._runtime is not None and self._runtime.trail.begun

    def record(self, event: AuditEvent) -> AuditReceipt | None:
        """Record an event; see `AuditTrail.record`."""
        return self.runtime.trail.record(event)

    def drain(self) -> None:
        """End the chain with an entry that says so. Later entries begin another one."""
        if self._runtime is not None:
            self._runtime.drain()

    def flush(self, deadline_s: float) -> bool:
        """Bring the entries to the database. Those that are late stay in the spool."""
        return self._runtime is None or self._runtime.flush(deadline_s)

    def close(self) -> None:
        """End the chain and close the database."""
        if self._runtime is not None:
            self._runtime.close()


@dataclass(frozen=True, slots=True)
class _Installed:
    audit: LazyAudit | None
    """None: the policy switches the trail off."""


_installed: _Installed | None = None


def install(audit: LazyAudit | None) -> None:
    """Install the trail of this process. None: the policy switches it off."""
    global _installed
    _installed = _Installed(audit)


def put_aside() -> Callable[[], None]:
    """Let the process be as it was before a trail was installed: for tests.

    Returns:
        A function that installs the trail of before again.
    """
    global _installed
    before, _installed = _installed, None

    def restore() -> None:
        global _installed
        _installed = before

    return restore


def switched_off() -> bool:
    """Return whether the policy switches the trail of this process off."""
    return _installed is not None and _installed.audit is None


def current_runtime() -> AuditRuntime:
    """Return the trail of this process with its reader.

    Raises:
        AuditUnavailableError: There is none.
    """
    if _installed is None:
        raise AuditUnavailableError(
            "there is no audit trail yet: call mita_otel.configure() first (or start the service with "
            "opentelemetry-instrument)"
        )
    if _installed.audit is None:
        raise AuditUnavailableError(
            "the audit trail is off: audit.start is 'off' in the policy, or OTEL_SDK_DISABLED is set"
        )
    return _installed.audit.runtime
