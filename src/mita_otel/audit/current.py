"""The audit trail of this process, and the guide's functions that use it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.errors import AuditUnavailableError
from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
from mita_otel.audit.trail import AuditTrail

if TYPE_CHECKING:
    from mita_otel.audit.reader import AuditEntry
    from mita_otel.audit.runtime import AuditRuntime

_installed: _Installed | None = None


@dataclass(frozen=True, slots=True)
class _Installed:
    room: AuditRuntime | None
    """None: the policy says that there is to be no trail."""


def install(room: AuditRuntime | None) -> None:
    """Make a trail the one of this process; None: the policy says that there is to be none."""
    global _installed
    _installed = _Installed(room)


def current_trail() -> AuditTrail | None:
    """Return the trail of this process; None: it is switched off, or telemetry is not configured."""
    return None if _installed is None or _installed.room is None else _installed.room.trail


def current_runtime() -> AuditRuntime:
    """Return the trail of this process and what reads it.

    Raises:
        AuditUnavailableError: There is none.
    """
    if _installed is None:
        raise AuditUnavailableError(
            "there is no audit trail yet: call mita_otel.configure() first (or start the service with "
            "opentelemetry-instrument)"
        )
    if _installed.room is None:
        raise AuditUnavailableError(
            "the audit trail is off: audit.start is 'off' in the policy, or OTEL_SDK_DISABLED is set"
        )
    return _installed.room


def record_audit_event(
    event_type: AuditEventType | str,
    user_id: str | None = None,
    details: Mapping[str, Any] | None = None,
    *,
    outcome: AuditOutcome | str = AuditOutcome.SUCCESS,
    resource_type: str | None = None,
    resource_id: str | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    client_address: str | None = None,
    request_id: str | None = None,
    trace_id: str | None = None,
    span_id: str | None = None,
    occurred_at: datetime | None = None,
) -> AuditReceipt | None:
    """Record that something happened. When this returns a receipt, the entry will not be lost.

    The fields are those of `AuditEvent`; everything is redacted before it is written. In a coroutine,
    `await asyncio.to_thread(record_audit_event, …)` keeps the event loop free while the disk writes.

    Returns:
        Where the entry stands. None: the policy switched the trail off, or `audit.on_failure` is `log` and
        the entry could not be written.

    Raises:
        AuditUnavailableError: `configure()` has not been called.
        AuditWriteError: The entry could not be written: it is not in the trail.
        ValueError: A field cannot be used.

    Example:
        >>> record_audit_event(
        ...     AuditEventType.CONFIGURATION_CHANGE, admin.id, {"changed_setting": "payment_threshold"}
        ... )
    """
    event = AuditEvent(
        event_type=event_type,
        user_id=user_id,
        outcome=outcome,
        resource_type=resource_type,
        resource_id=resource_id,
        details=details,
        before=before,
        after=after,
        client_address=client_address,
        request_id=request_id,
        trace_id=trace_id,
        span_id=span_id,
        occurred_at=occurred_at,
    )
    if _installed is not None and _installed.room is None:
        return None
    return current_runtime().trail.record(event)


def get_audit_trail(
    user_id: str | None = None,
    event_type: AuditEventType | str | Sequence[AuditEventType | str] | None = None,
    hours_back: float | None = 24,
    *,
    outcome: AuditOutcome | str | None = None,
    resource_id: str | None = None,
    limit: int = 1000,
    reader: str | None = None,
) -> list[AuditEntry]:
    """Return the newest entries of the trail, of all processes that share the store, oldest first.

    The read is recorded in the trail.

    Args:
        user_id: Of this user; None: of everybody.
        event_type: Of this type, or any of several; None: of every type.
        hours_back: Not older; None: of any age.
        outcome: With this outcome.
        resource_id: About this resource.
        limit: How many at most.
        reader: Who reads, for the entry about the read.

    Raises:
        AuditUnavailableError: There is no trail.
        ValueError: There is no such type, or outcome.
        StoreError: The store cannot be used: its extra is not installed, or the database does not answer.
    """
    reads = current_runtime().reader()  # before SQLAlchemy is needed: it says what to install
    from mita_otel.audit.reader import AuditFilter

    types = (event_type,) if isinstance(event_type, str) else tuple(event_type or ())
    wanted = AuditFilter(
        user_id=user_id,
        event_types=tuple(str(one) for one in types),
        outcome=None if outcome is None else str(outcome),
        resource_id=resource_id,
    )
    return reads.recent(wanted, hours_back=hours_back, limit=limit, reader=reader)
