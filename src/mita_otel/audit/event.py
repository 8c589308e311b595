"""What a service says happened: the fields that PCI DSS 4.0 requirement 10.2.2 asks for, and a little more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

_CUSTOM: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}\Z")


class AuditEventType(StrEnum):
    """What kind of event it was. The list is open: any `lower_case` name of a team's own will do."""

    # who came in
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    PASSWORD_CHANGE = "password_change"  # noqa: S105 - a name, not a password
    PERMISSION_CHANGE = "permission_change"
    USER_CREATE = "user_create"
    USER_UPDATE = "user_update"
    USER_DELETE = "user_delete"
    # what was done with money
    TRANSACTION_CREATE = "transaction_create"
    TRANSACTION_UPDATE = "transaction_update"
    TRANSACTION_DELETE = "transaction_delete"
    PAYMENT_PROCESS = "payment_process"
    PAYMENT_REFUND = "payment_refund"
    ACCOUNT_CHANGE = "account_change"
    BUDGET_CHANGE = "budget_change"
    FINANCIAL_OPERATION = "financial_operation"
    # what was done with data
    DATA_ACCESS = "data_access"
    DATA_CHANGE = "data_change"
    DATA_DELETE = "data_delete"
    DATA_EXPORT = "data_export"
    # what went wrong
    ERROR = "error"
    SECURITY_EVENT = "security_event"
    COMPLIANCE_EVENT = "compliance_event"
    # what happened to the system itself
    CONFIGURATION_CHANGE = "configuration_change"
    AUDIT_START = "audit_start"
    AUDIT_STOP = "audit_stop"
    AUDIT_FAILURE = "audit_failure"
    AUDIT_READ = "audit_read"
    AUDIT_EXPORT = "audit_export"
    AUDIT_VERIFY = "audit_verify"
    REPORT_EXPORT = "report_export"
    RETENTION_APPLY = "retention_apply"
    LEGAL_HOLD_CREATE = "legal_hold_create"
    LEGAL_HOLD_RELEASE = "legal_hold_release"
    SUBJECT_EXPORT = "subject_export"
    SUBJECT_ERASE = "subject_erase"


class AuditOutcome(StrEnum):
    """How it ended."""

    SUCCESS = "success"
    FAILURE = "failure"
    """It was tried and did not work."""
    DENIED = "denied"
    """It was refused: no right, no valid credentials."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One thing that happened, as the service tells it. It is redacted before anything is written.

    Example:
        >>> AuditEvent(event_type=AuditEventType.TRANSACTION_CREATE, user_id="u1", resource_id="tx-7")
    """

    event_type: AuditEventType | str
    """What kind of event. A name of your own is lower case, digits, `_` and `.`, up to 64 characters."""
    user_id: str | None = None
    """Who did it. Personal: can be erased later without breaking the chain."""
    outcome: AuditOutcome | str = AuditOutcome.SUCCESS
    """How it ended."""
    resource_type: str | None = None
    """What it was done to: `transaction`, `account`, `report`, …"""
    resource_id: str | None = None
    """Which one."""
    details: Mapping[str, Any] | None = None
    """Whatever helps to understand it later."""
    before: Mapping[str, Any] | None = None
    """State before a change."""
    after: Mapping[str, Any] | None = None
    """State after a change."""
    client_address: str | None = None
    """Where the request came from. Personal."""
    request_id: str | None = None
    trace_id: str | None = None
    """Hexadecimal. None: the current span's."""
    span_id: str | None = None
    """Hexadecimal. None: the current span's."""
    occurred_at: datetime | None = None
    """When it happened, if that was not now. Must be aware of its time zone."""

    def __post_init__(self) -> None:
        check_event_type(self.event_type)
        check_outcome(self.outcome)
        if self.occurred_at is not None and self.occurred_at.tzinfo is None:
            raise ValueError(
                "occurred_at has no time zone; pass an aware datetime, as in datetime.now(timezone.utc)"
            )


class AuditSink(Protocol):
    """Whatever takes audit events. `AuditTrail` is one."""

    def record(self, event: AuditEvent, /) -> object:
        """Take the event. When this returns, the event is on the disk."""


def check_event_type(name: str) -> str:
    """Return the name if it can be an event type.

    Raises:
        ValueError: It cannot; the message shows how to write it.
    """
    if not isinstance(name, str) or not _CUSTOM.match(name):
        raise ValueError(
            f"{name!r} is not an audit event type; take one of AuditEventType, or write your own in small "
            "letters, digits, '_' and '.', as in 'loan.approve'"
        )
    return name


def check_outcome(name: str) -> str:
    """Return the name if it is an outcome.

    Raises:
        ValueError: It is not; the message lists those that are.
    """
    if name not in AuditOutcome.__members__.values():
        raise ValueError(f"{name!r} is not an outcome; use one of {', '.join(AuditOutcome)}")
    return name
