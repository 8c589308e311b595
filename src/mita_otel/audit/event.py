"""Audit events: the fields that PCI DSS 4.0 requires (10.2.2), and a few more."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

COMMAND_SERVICE: Final = "mita-otel command"
"""Service name in entries of the `mita-otel` command."""

_CUSTOM: Final = re.compile(r"[a-z][a-z0-9_.]{0,63}\Z")


class AuditEventType(StrEnum):
    """The type of an event. Applications can use their own `lower_case` names as well."""

    # authentication and accounts
    LOGIN = "login"
    LOGIN_FAILED = "login_failed"
    LOGOUT = "logout"
    PASSWORD_CHANGE = "password_change"  # noqa: S105 - a name, not a password
    PERMISSION_CHANGE = "permission_change"
    USER_CREATE = "user_create"
    USER_UPDATE = "user_update"
    USER_DELETE = "user_delete"
    # money
    TRANSACTION_CREATE = "transaction_create"
    TRANSACTION_UPDATE = "transaction_update"
    TRANSACTION_DELETE = "transaction_delete"
    PAYMENT_PROCESS = "payment_process"
    PAYMENT_REFUND = "payment_refund"
    ACCOUNT_CHANGE = "account_change"
    BUDGET_CHANGE = "budget_change"
    FINANCIAL_OPERATION = "financial_operation"
    # data
    DATA_ACCESS = "data_access"
    DATA_CHANGE = "data_change"
    DATA_DELETE = "data_delete"
    DATA_EXPORT = "data_export"
    # problems
    ERROR = "error"
    SECURITY_EVENT = "security_event"
    COMPLIANCE_EVENT = "compliance_event"
    # the system itself
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

    # Names of the MITA application for the same types.
    USER_LOGIN = LOGIN
    USER_LOGOUT = LOGOUT
    ERROR_OCCURRED = ERROR

    @classmethod
    def _missing_(cls, value: object) -> AuditEventType | None:
        """Accept the value that the MITA application gives a name, as in `user_login`."""
        return cls.__members__.get(value.upper()) if isinstance(value, str) else None


class AuditOutcome(StrEnum):
    """The outcome of an event."""

    SUCCESS = "success"
    FAILURE = "failure"
    """It was attempted and failed."""
    DENIED = "denied"
    """It was refused: missing permission or invalid credentials."""
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEvent:
    """One event, as the service reports it. It is redacted before it is written.

    Example:
        >>> AuditEvent(event_type=AuditEventType.TRANSACTION_CREATE, user_id="u1", resource_id="tx-7")
    """

    event_type: AuditEventType | str
    """The type of the event. Your own names consist of lower case letters, digits, `_` and `.`, up to 64
    characters."""
    user_id: str | None = None
    """Who did it. Personal: it can be erased later without breaking the chain."""
    outcome: AuditOutcome | str = AuditOutcome.SUCCESS
    """The outcome of an event."""
    resource_type: str | None = None
    """The kind of resource: `transaction`, `account`, `report`, …"""
    resource_id: str | None = None
    """The id of the resource."""
    details: Mapping[str, Any] | None = None
    """Any further facts."""
    before: Mapping[str, Any] | None = None
    """The state before a change."""
    after: Mapping[str, Any] | None = None
    """The state after a change."""
    client_address: str | None = None
    """The address that the request came from. Personal."""
    request_id: str | None = None
    trace_id: str | None = None
    """Hexadecimal. None: the current span's."""
    span_id: str | None = None
    """Hexadecimal. None: the current span's."""
    occurred_at: datetime | None = None
    """When it happened, if not now. It must have a time zone."""

    def __post_init__(self) -> None:
        check_event_type(self.event_type)
        check_outcome(self.outcome)
        if self.occurred_at is not None and self.occurred_at.tzinfo is None:
            raise ValueError(
                "occurred_at has no time zone; pass an aware datetime, as in datetime.now(timezone.utc)"
            )


class AuditSink(Protocol):
    """Records audit events, as `AuditTrail` does."""

    def record(self, event: AuditEvent, /) -> object:
        """Record the event. When this returns, the event is on the disk."""


def check_event_type(name: str) -> str:
    """Return the name if it is a valid event type.

    Raises:
        ValueError: It is invalid. The message shows how to write it.
    """
    if not isinstance(name, str) or not _CUSTOM.match(name):
        raise ValueError(
            f"{name!r} is not an audit event type; use one of AuditEventType, or your own name in lower case "
            "letters, digits, '_' and '.', as in 'loan.approve'"
        )
    return name


def check_outcome(name: str) -> str:
    """Return the name if it is a valid outcome.

    Raises:
        ValueError: It is invalid. The message lists the valid ones.
    """
    if name not in AuditOutcome.__members__.values():
        raise ValueError(f"{name!r} is not an outcome; use one of {', '.join(AuditOutcome)}")
    return name
