"""Sets the context: the user, the transaction, the request, and compliance.

A context applies until the enclosing span or operation ends. Inside a request it applies until the request ends,
even if it was set in a dependency or another thread.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from opentelemetry import baggage, context, propagate, trace
from opentelemetry.context import Context

from mita_otel import semconv
from mita_otel.finance.attribute_values import attribute_mapping
from mita_otel.finance.audit_signal import notify_audit
from mita_otel.finance.categories import FinancialErrorCategory
from mita_otel.finance.events import NO_EVENT, EventId, FinancialEvent, prepare, send
from mita_otel.finance.facts import (
    Facts,
    enter_request,
    known_facts,
    learn,
    leave_request,
    local_facts,
    with_facts,
)
from mita_otel.finance.request import RequestState, scope_of
from mita_otel.finance.runtime import FinanceRuntime, running
from mita_otel.finance.transaction import Amount, FinancialContext, TransactionId
from mita_otel.finance.user import UserContext, UserId, user_of
from mita_otel.policy.finance import BaggagePolicy


def set_financial_user(user: UserContext | UserId | None) -> None:
    """Set the user. Spans, errors and log records from here on contain the id.

    Args:
        user: The user, or the id alone. The application's own user object or claims are accepted as well. Without
            an id (None, an empty text) there is no user, as after `clear_user`.
    """
    runtime = running()
    if runtime is not None:
        runtime.guard("set_financial_user", _set_user, runtime, user)


def _set_user(runtime: FinanceRuntime, user: object) -> None:
    apply_here(runtime, user=user_of(user, runtime.policy.request.user_id_fields))


def clear_user() -> None:
    """Clear the user: they logged out, or a worker continues with the next job."""
    if running() is not None:
        learn(user=None)


def set_transaction(
    transaction: FinancialContext | TransactionId | None = None,
    *,
    amount: Amount | None = None,
    currency: str | None = None,
    **details: Any,
) -> None:
    """Set the transaction.

    Args:
        transaction: The transaction, or its id alone.
        amount: Decimal, int, str or float.
        currency: ISO 4217.
        details: `transaction_type`, `payment_method`, `merchant`, or further data for errors.
    """
    runtime = running()
    if runtime is None:
        return
    if not isinstance(transaction, FinancialContext):
        named = {name: details.pop(name, None) for name in ("transaction_type", "payment_method", "merchant")}
        transaction = FinancialContext(transaction, amount, currency, **named, extra=details)
    runtime.guard("set_transaction", apply_here, runtime, transaction=transaction)


def set_request_context(request: object) -> None:
    """Set the request, if `FinancialSentryMiddleware` is not in use.

    Args:
        request: A Starlette or FastAPI request, or an ASGI scope.
    """
    runtime = running()
    if runtime is not None and local_facts().shared is None:
        runtime.guard("set_request_context", _serve, runtime, request)


def _serve(runtime: FinanceRuntime, request: object) -> None:
    scope = scope_of(request)
    if scope is not None:
        state = RequestState(scope, runtime)
        context.attach(with_facts(local_facts().replace(shared=state)))
        state.mark_span()


def set_compliance_context(
    regulation: str,
    requirement: str | None = None,
    status: str = "compliant",
    details: Mapping[str, Any] | None = None,
) -> EventId:
    """Record a compliance check. A violation becomes an error of category `compliance_issue`.

    Args:
        regulation: For example `PCI_DSS`.
        requirement: For example `3.4_Secure_Cardholder_Data`.
        status: `compliant`, or one of the policy's `finance.compliance.violations`.
        details: The evidence.

    Returns:
        The event's id if it is a violation, otherwise empty.
    """
    runtime = running()
    if runtime is None:
        return NO_EVENT
    event_id = runtime.guard(
        "set_compliance_context", _comply, runtime, regulation, requirement, status, details
    )
    return event_id if isinstance(event_id, EventId) else NO_EVENT


def _comply(
    runtime: FinanceRuntime,
    regulation: str,
    requirement: str | None,
    status: str,
    details: Mapping[str, Any] | None,
) -> EventId:
    named = {"regulation": regulation, "requirement": requirement, "status": status}
    compliance = {
        **attribute_mapping(details, runtime.policy.context),
        **{name: str(value) for name, value in named.items() if value is not None},
    }
    apply_here(runtime, compliance=compliance)
    violated = compliance["status"].strip().lower() in runtime.policy.compliance.violations
    category = FinancialErrorCategory.COMPLIANCE_ISSUE.value
    severity = runtime.operations.severity(category)
    about = [compliance["regulation"], compliance.get("requirement", "")]
    event_id = EventId.new() if violated else NO_EVENT
    happening = FinancialEvent(
        name=semconv.COMPLIANCE_EVENT,
        message=f"{' '.join(filter(None, about))}: {compliance['status']}",
        severity=severity,
        category=category,
        event_id=event_id or None,
        facts=known_facts(),
        fingerprint=[category, *about],
    )
    sending = prepare(happening, runtime)
    if violated:
        send(sending, runtime)
        runtime.counts.violation(compliance["regulation"], category, severity.value)
    notify_audit(
        runtime,
        happening.facts,
        sending.span_context,
        kind="compliance",
        name=compliance["regulation"],
        outcome=compliance["status"],
        category=category,
        severity=severity.value if violated else None,
        event_id=event_id or None,
        details=compliance,
    )
    return event_id


def apply_here(runtime: FinanceRuntime, **news: Any) -> None:
    """Apply facts from here on, and add them to the spans that are running."""
    facts = learn(**news)
    here = context.get_current()
    carried = with_baggage(facts, here, runtime.policy.baggage)
    if carried is not here:
        context.attach(carried)
    attributes = Facts(**news).attributes
    if not attributes:
        return
    span = trace.get_current_span()
    if span.is_recording():
        span.set_attributes(attributes)
    server_span = facts.shared.server_span if facts.shared is not None else None
    if server_span is not None and server_span is not span and server_span.is_recording():
        server_span.set_attributes(attributes)


def with_baggage(facts: Facts, within: Context, policy: BaggagePolicy) -> Context:
    """Return the context with the baggage that the policy sends."""
    known, shared = facts.attributes, facts.shared
    for name in policy.send:
        attribute = semconv.OPERATION_PART_OF if name == semconv.OPERATION else name
        value = known.get(attribute)
        if value is None and shared is not None:
            value = shared.facts.attributes.get(attribute)
        if (
            value is not None
            and len(value) <= policy.max_length
            and baggage.get_baggage(name, within) != value
        ):
            within = baggage.set_baggage(name, value, within)
    return within


def received_baggage(name: str, policy: BaggagePolicy) -> str | None:
    """Return the baggage of another service, if the policy accepts the name.

    It is as trustworthy as a `traceparent`.
    """
    if name not in policy.accept:
        return None
    value = baggage.get_baggage(name)
    usable = isinstance(value, str) and 0 < len(value) <= policy.max_length and value.isprintable()
    return str(value) if usable else None


def context_to_carry() -> dict[str, str]:
    """Return the current context as a carrier of short texts, such as `traceparent`, to store with a job."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


@contextmanager
def continue_context(carrier: Mapping[str, str] | None) -> Iterator[None]:
    """Run a job in the context in which it was queued.

    The user and the transaction of the worker's previous job do not apply inside, and those of this job end with
    it.

    Args:
        carrier: The result of `context_to_carry`. None: the job starts a new trace.

    Example:
        >>> queue.put({"payment": payment.id, "context": context_to_carry()})
        >>> job = queue.get()
        >>> with continue_context(job["context"]):
        ...     settle(job["payment"])
    """
    token = context.attach(propagate.extract(carrier or {}, context=Context()))
    request_token = enter_request(None)  # a worker may have been started by a request
    try:
        yield
    finally:
        leave_request(request_token)
        context.detach(token)
