"""Writes audit entries for the financial API: operations, payments, logins, errors, compliance checks."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from mita_otel.audit.errors import AuditWriteError
from mita_otel.audit.event import AuditEvent, AuditEventType, AuditOutcome, check_event_type
from mita_otel.finance.audit_signal import AuditSignal
from mita_otel.policy.storage import AuditPolicy

if TYPE_CHECKING:
    from mita_otel.audit.installed import LazyAudit
    from mita_otel.audit.trail import AuditTrail

_OUTCOMES: Final[Mapping[str, AuditOutcome]] = {
    "success": AuditOutcome.SUCCESS,
    "compliant": AuditOutcome.SUCCESS,
    "failure": AuditOutcome.FAILURE,
    "refused": AuditOutcome.DENIED,
}


class FinancialAudit:
    """Takes the financial API's signals into a trail that has been started.

    A signal does not begin a trail: a service that uses the financial API without an audit trail gets no files.

    Args:
        policy: What an operation, and a security event, becomes.
        trail: Where the entries go.
    """

    def __init__(self, policy: AuditPolicy, trail: AuditTrail | LazyAudit) -> None:
        self._policy = policy
        self._trail = trail

    def wants_access(self) -> bool:
        """Return whether each request that touches cardholder data is recorded."""
        return self._policy.data_access and self._trail.begun

    def record(self, signal: AuditSignal) -> None:
        """Record a signal. What cannot be written has been logged, and is in the health view."""
        if self._trail.begun:
            with contextlib.suppress(AuditWriteError):
                self._trail.record(self.event(signal))

    def event(self, signal: AuditSignal) -> AuditEvent:
        """Return the audit event of a signal."""
        event_type = self._event_type(signal)
        resource_type, resource_id = _resource(signal)
        return AuditEvent(
            event_type=event_type,
            user_id=signal.user_id,
            outcome=_OUTCOMES.get(signal.outcome, _otherwise(signal)),
            resource_type=resource_type,
            resource_id=resource_id,
            details=_details(signal, event_type),
            client_address=signal.address,
            request_id=signal.request_id,
            trace_id=signal.trace_id,
            span_id=signal.span_id,
            occurred_at=datetime.fromtimestamp(signal.time_ns / 1e9, UTC),
        )

    def _event_type(self, signal: AuditSignal) -> str:
        match signal.kind:
            case "operation":
                return self._policy.operations.get(signal.category or "", AuditEventType.FINANCIAL_OPERATION)
            case "security":
                return self._policy.security.get(signal.name, AuditEventType.SECURITY_EVENT)
            case "error":
                return AuditEventType.ERROR
            case "compliance":
                return AuditEventType.COMPLIANCE_EVENT
        try:
            return check_event_type(signal.name)
        except ValueError:
            return AuditEventType.FINANCIAL_OPERATION


def _resource(signal: AuditSignal) -> tuple[str, str]:
    """Return what a signal is about: a transaction, a route, or what the signal itself names."""
    if signal.transaction_id is not None:
        return "transaction", signal.transaction_id
    route = signal.details.get("route") if signal.kind == "custom" else None
    return ("route", str(route)) if route else (signal.kind, signal.name)


def _otherwise(signal: AuditSignal) -> AuditOutcome:
    return AuditOutcome.FAILURE if signal.kind == "compliance" else AuditOutcome.UNKNOWN


def _details(signal: AuditSignal, event_type: str) -> dict[str, Any]:
    optional = {
        "name": signal.name if signal.name != event_type else None,
        "category": signal.category,
        "severity": signal.severity,
        "event_id": signal.event_id,
        "amount": signal.amount,
        "currency": signal.currency,
        "outcome": signal.outcome if signal.outcome not in _OUTCOMES else None,
    }
    return {**signal.details, **{name: value for name, value in optional.items() if value is not None}}
