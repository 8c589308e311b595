"""What the audit trail hears, from what is known where it happened."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from opentelemetry.trace import SpanContext, format_span_id, format_trace_id

from mita_otel.finance.audit_sink import AuditSignal, SignalKind
from mita_otel.finance.facts import Facts
from mita_otel.finance.runtime import FinanceRuntime


def tell_audit(
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
    """Tell the audit trail what happened, if there is one; see `AuditSignal`."""
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
