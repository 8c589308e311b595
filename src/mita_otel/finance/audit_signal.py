"""Signals from the financial API to the audit trail."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from mita_otel.finance.facts import Facts

if TYPE_CHECKING:
    from mita_otel.finance.runtime import FinanceRuntime

SignalKind = Literal["operation", "error", "security", "compliance", "custom"]
"""The kind of a signal. `custom`: its name is an event type of the audit trail."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditSignal:
    """An event that an audit trail may keep. Values are not redacted yet."""

    kind: SignalKind
    name: str
    """The name of the operation, the category of the error, the type of the event, or the regulation."""
    outcome: str
    """`success`, `failure`, `refused`, `cancelled`, or the status of a compliance check."""
    time_ns: int
    """When it ended, nanoseconds since the epoch."""
    category: str | None = None
    severity: str | None = None
    event_id: str | None = None
    """The id of the event, if it became one."""
    user_id: str | None = None
    transaction_id: str | None = None
    amount: str | None = None
    currency: str | None = None
    request_id: str | None = None
    address: str | None = None
    """The address that the request came from."""
    trace_id: str | None = None
    """32 hexadecimal digits."""
    span_id: str | None = None
    """16 hexadecimal digits."""
    details: Mapping[str, Any] = field(default_factory=dict)


class AuditSignalSink(Protocol):
    """Receives signals."""

    def record(self, event: AuditSignal, /) -> None:
        """Receive a signal, on the caller's thread. An exception is logged once and ignored."""


def notify_audit(
    runtime: FinanceRuntime,
    facts: Facts,
    span_context: SpanContext,
    *,
    kind: SignalKind,
    name: str,
    outcome: str,
    category: str | None = None,
    severity: str | None = None,
    event_id: str | None = None,
    details: Mapping[str, Any] | None = None,
) -> None:
    """Send a signal to the audit trail, if there is one; see `AuditSignal`."""
    audit = runtime.audit
    if audit is None:
        return
    transaction = facts.transaction
    currency = runtime.money.currency(transaction.currency) if transaction is not None else None
    request = facts.shared.request_context() if facts.shared is not None else {}
    signal = AuditSignal(
        kind=kind,
        name=name,
        outcome=outcome,
        time_ns=time.time_ns(),
        category=category,
        severity=severity,
        event_id=event_id,
        user_id=facts.user.id if facts.user is not None else None,
        transaction_id=transaction.id if transaction is not None else None,
        amount=runtime.money.amount(transaction.amount, currency) if transaction is not None else None,
        currency=currency,
        request_id=facts.request_id,
        address=request.get("client_address"),
        trace_id=format_trace_id(span_context.trace_id) if span_context.is_valid else None,
        span_id=format_span_id(span_context.span_id) if span_context.is_valid else None,
        details=details or {},
    )
    runtime.guard("the audit trail", audit.record, signal)
