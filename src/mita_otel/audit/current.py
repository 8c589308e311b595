"""The public functions that record in the audit trail of this process, and read from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mita_otel.audit.committer import AuditReceipt
from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome
from mita_otel.audit.installed import current_runtime, switched_off

if TYPE_CHECKING:
    from mita_otel.audit.reader import AuditEntry


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
    """Record an event in the audit trail. If this returns a receipt, the entry is on the disk.

    The arguments are the fields of `AuditEvent`. All are redacted before they are written. In a coroutine, `await
    asyncio.to_thread(record_audit_event, …)` keeps the event loop free while the disk writes.

    Returns:
        The position of the entry in its chain. None: the policy switches the trail off, or the entry could not be
        written and `audit.on_failure` is `log`.

    Raises:
        AuditUnavailableError: `configure()` was not called.
        AuditWriteError: The entry could not be written, so it is not in the trail.
        ValueError: A field is invalid.

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
    if switched_off():
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
    """Return the newest entries of the trail, oldest first, of all processes that share the store.

    The read is recorded in the trail.

    Args:
        user_id: Only entries of this user. None: of all.
        event_type: Only entries of this type, or of one of these. None: of all.
        hours_back: Maximum age in hours. None: any age.
        outcome: Only entries with this outcome.
        resource_id: Only entries about this resource.
        limit: Maximum number of entries.
        reader: Who reads; part of the entry about the read.

    Raises:
        AuditUnavailableError: There is no trail.
        ValueError: The type or the outcome does not exist.
        StoreError: The store's extra is not installed, or the database does not answer.
    """
    reads = current_runtime().reader()  # first, because its error names the extra to install
    from mita_otel.audit.reader import AuditFilter

    types = (event_type,) if isinstance(event_type, str) else tuple(event_type or ())
    wanted = AuditFilter(
        user_id=user_id,
        event_types=tuple(str(one) for one in types),
        outcome=None if outcome is None else str(outcome),
        resource_id=resource_id,
    )
    return reads.recent(wanted, hours_back=hours_back, limit=limit, reader=reader)
