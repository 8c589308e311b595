"""Saying what is known: who the user is, which transaction runs, under which rules.

What is said holds until the enclosing span or operation ends; inside a request, until the request ends, also
where it was said in a dependency or a thread of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry import context, trace

from mita_otel import semconv
from mita_otel.finance.carried import carry
from mita_otel.finance.event_id import NOTHING, EventId
from mita_otel.finance.events import Happening, send, signal
from mita_otel.finance.facts import Facts, known_facts, learn, local_facts
from mita_otel.finance.money import Amount
from mita_otel.finance.names import FinancialErrorCategory
from mita_otel.finance.people import UserContext, UserId
from mita_otel.finance.plain import plain_mapping
from mita_otel.finance.request import RequestState, scope_of
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.transaction import FinancialContext, TransactionId


def set_financial_user(user: UserContext | UserId) -> None:
    """Say who the user is. Spans, errors and log records from here on show the id.

    Args:
        user: The user, or the id alone.
    """
    runtime = running()
    if runtime is not None:
        known = user if isinstance(user, UserContext) else UserContext(user)
        know_here(runtime, user=known)


def clear_user() -> None:
    """Forget the user: it has logged out, or a worker goes on with the next job."""
    if running() is not None:
        learn(user=None)


def set_transaction(
    transaction: FinancialContext | TransactionId | None = None,
    *,
    amount: Amount | None = None,
    currency: str | None = None,
    **details: Any,
) -> None:
    """Say which transaction this is about.

    Args:
        transaction: The transaction, or its id alone.
        amount: Decimal, int, str or float.
        currency: ISO 4217.
        details: `transaction_type`, `payment_method`, `merchant`, or anything else that an error shall show.
    """
    runtime = running()
    if runtime is None:
        return
    if not isinstance(transaction, FinancialContext):
        named = {name: details.pop(name, None) for name in ("transaction_type", "payment_method", "merchant")}
        transaction = FinancialContext(transaction, amount, currency, **named, extra=details)
    know_here(runtime, transaction=transaction)


def set_request_context(request: object) -> None:
    """Say which request is served here, where `FinancialSentryMiddleware` is not in use.

    Args:
        request: A Starlette or FastAPI request, or an ASGI scope.
    """
    runtime, scope = running(), scope_of(request)
    if runtime is None or scope is None or local_facts().shared is not None:
        return
    state = runtime.guard("set_request_context", RequestState, scope, runtime)
    if state is not None:
        know_here(runtime, shared=state)
        runtime.guard("set_request_context", state.mark_span)


def set_compliance_context(
    regulation: str,
    requirement: str | None = None,
    status: str = "compliant",
    details: Mapping[str, Any] | None = None,
) -> EventId:
    """Say which rule is kept here, or broken. A violation becomes an error of `compliance_issue`.

    Args:
        regulation: As in `PCI_DSS`.
        requirement: As in `3.4_Secure_Cardholder_Data`.
        status: `compliant`, or one of the policy's `finance.compliance.violations`.
        details: What shows it.

    Returns:
        The event's id, if it is a violation; else empty.
    """
    runtime = running()
    if runtime is None:
        return NOTHING
    compliance = {
        "regulation": str(regulation),
        "requirement": None if requirement is None else str(requirement),
        "status": str(status),
        **plain_mapping(details, runtime.policy.context),
    }
    know_here(runtime, compliance={name: value for name, value in compliance.items() if value is not None})
    event_id = runtime.guard("set_compliance_context", _report_compliance, runtime, compliance)
    return event_id if isinstance(event_id, EventId) else NOTHING


def _report_compliance(runtime: FinanceRuntime, compliance: Mapping[str, Any]) -> EventId:
    status = compliance["status"]
    violated = status.strip().lower() in runtime.policy.compliance.violations
    category = FinancialErrorCategory.COMPLIANCE_ISSUE.value
    regulation, requirement = compliance["regulation"], compliance["requirement"]
    about = " ".join(part for part in (regulation, requirement) if part)
    event_id = EventId.new() if violated else NOTHING
    happening = Happening(
        name=semconv.COMPLIANCE_EVENT,
        message=f"{about}: {status}",
        severity=runtime.operations.severity(category),
        category=category,
        event_id=event_id or None,
        facts=known_facts(),
        fingerprint=[category, regulation, requirement or ""],
    )
    if violated:
        send(happening, runtime)
        runtime.errors.add(1, {"category": category, "severity": happening.severity.value})
    runtime.tell_audit(
        lambda: signal(
            happening, runtime, kind="compliance", name=regulation, outcome=status, details=compliance
        )
    )
    return event_id


def know_here(runtime: FinanceRuntime, **news: Any) -> None:
    """Know it from here on, and let the spans that run already show it."""
    facts: Facts = learn(**news)
    here = context.get_current()
    carried = carry(facts, here, runtime.policy.baggage)
    if carried is not here:
        context.attach(carried)
    attributes = Facts(**{name: value for name, value in news.items() if name != "shared"}).attributes
    if not attributes:
        return
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(attributes)
    server_span = facts.shared.server_span if facts.shared is not None else None
    if server_span is not None and server_span is not span and server_span.is_recording():
        server_span.set_attributes(attributes)
