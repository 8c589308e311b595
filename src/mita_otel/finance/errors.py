"""Capturing errors: one call, one error, linked to the trace, with everything that is known where it happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mita_otel.finance.capture import Category, ErrorReport, Severity, capture
from mita_otel.finance.categories import FinancialErrorCategory
from mita_otel.finance.events import NO_EVENT, EventId
from mita_otel.finance.money import Amount
from mita_otel.finance.runtime import running
from mita_otel.finance.transaction import TransactionId
from mita_otel.finance.user import UserId

_NO_EXCEPTION: Final = (
    "capture_financial_error takes an exception and got {}: nothing was captured. "
    "Pass the exception itself, as in `except Exception as error: capture_financial_error(error)`"
)


def capture_financial_error(
    exception: BaseException,
    category: Category | None = None,
    severity: Severity | None = None,
    user_id: UserId | None = None,
    transaction_id: TransactionId | None = None,
    amount: Amount | None = None,
    currency: str | None = None,
    request: object = None,
    additional_context: Mapping[str, Any] | None = None,
    *,
    additionalContext: Mapping[str, Any] | None = None,  # noqa: N803 - the guide writes it this way, too
    tags: Mapping[str, str] | None = None,
    fingerprint: Sequence[str] | None = None,
    handled: bool = True,
) -> EventId:
    """Capture an error with its financial context. Call it or await it: both do the same, at once.

    The error becomes a log record named `mita.error` in the current trace, and from there an issue in Sentry. An
    exception is captured once: a second call, a decorator or a middleware that meets it again gets the same id.

    Args:
        exception: What happened.
        category: What kind of thing went wrong. None: that of the operation that runs here, else `system_error`.
        severity: How bad it is. None: what the policy says of the category.
        user_id: Who was concerned. None: the user that is known here. So with the next three.
        transaction_id: Which transaction.
        amount: Decimal, int, str or float; shown exactly.
        currency: ISO 4217. An unknown one is kept, with a warning.
        request: A Starlette or FastAPI request, where the middleware does not serve it already.
        additional_context: Anything else worth knowing; redacted before it leaves.
        additionalContext: The same.
        tags: Tags to search by, beside the guide's.
        fingerprint: What makes two errors the same issue. None: category, type and place in the code.
        handled: False if nothing caught it.

    Returns:
        The event's id, 32 hexadecimal digits: Sentry's, and `mita.event.id` in whatever is exported. Empty if
        telemetry is off.
    """
    runtime = running()
    if runtime is None:
        return NO_EVENT
    given: object = exception
    if not isinstance(given, BaseException):
        runtime.say_once(_NO_EXCEPTION.format("a class" if isinstance(given, type) else type(given).__name__))
        return NO_EVENT
    report = ErrorReport(
        exception=exception,
        category=category,
        severity=severity,
        user_id=user_id,
        transaction_id=transaction_id,
        amount=amount,
        currency=currency,
        request=request,
        additional=(additional_context, additionalContext),
        tags=tags,
        fingerprint=fingerprint,
        handled=handled,
    )
    event_id = runtime.guard("capture_financial_error", capture, report, runtime)
    return event_id if isinstance(event_id, EventId) else NO_EVENT


def capture_transaction_error(
    exception: BaseException,
    user_id: UserId | None = None,
    transaction_id: TransactionId | None = None,
    amount: Amount | None = None,
    currency: str | None = None,
    transaction_type: str | None = None,
    merchant: str | None = None,
    category: str | None = None,
    request: object = None,
    **more: Any,
) -> EventId:
    """Capture an error of `transaction_processing`.

    Args:
        exception: What happened. For the arguments that are not here see `capture_financial_error`.
        user_id: Who was concerned.
        transaction_id: Which transaction.
        amount: How much.
        currency: ISO 4217.
        transaction_type: As in `transfer`.
        merchant: Who was to be paid.
        category: The transaction's own category, as in `groceries`.
        request: The request, where no middleware serves it.
        more: `severity`, `tags`, `fingerprint`, `handled`, `additional_context`, or additional context itself.

    Returns:
        The event's id. So with the functions below.
    """
    named = {"transaction_type": transaction_type, "merchant": merchant, "transaction_category": category}
    return capture_financial_error(
        exception,
        FinancialErrorCategory.TRANSACTION_PROCESSING,
        user_id=user_id,
        transaction_id=transaction_id,
        amount=amount,
        currency=currency,
        request=request,
        **_arguments(more, named),
    )


def capture_authentication_error(
    exception: BaseException,
    user_id: UserId | None = None,
    auth_method: str | None = None,
    ip_address: str | None = None,
    request: object = None,
    **more: Any,
) -> EventId:
    """Capture an error of `authentication`, as in `auth_method="password"`."""
    return capture_financial_error(
        exception,
        FinancialErrorCategory.AUTHENTICATION,
        user_id=user_id,
        request=request,
        **_arguments(more, {"auth_method": auth_method, "ip_address": ip_address}),
    )


def capture_payment_error(
    exception: BaseException,
    user_id: UserId | None = None,
    payment_method: str | None = None,
    amount: Amount | None = None,
    currency: str | None = None,
    payment_provider: str | None = None,
    request: object = None,
    **more: Any,
) -> EventId:
    """Capture an error of `payment_processing`, as in `payment_method="credit_card"`."""
    return capture_financial_error(
        exception,
        FinancialErrorCategory.PAYMENT_PROCESSING,
        user_id=user_id,
        amount=amount,
        currency=currency,
        request=request,
        **_arguments(more, {"payment_method": payment_method, "payment_provider": payment_provider}),
    )


def capture_budget_error(
    exception: BaseException,
    user_id: UserId | None = None,
    budget_category: str | None = None,
    calculation_type: str | None = None,
    request: object = None,
    **more: Any,
) -> EventId:
    """Capture an error of `budget_calculation`, as in `calculation_type="monthly"`."""
    return capture_financial_error(
        exception,
        FinancialErrorCategory.BUDGET_CALCULATION,
        user_id=user_id,
        request=request,
        **_arguments(more, {"budget_category": budget_category, "calculation_type": calculation_type}),
    )


def capture_security_error(
    exception: BaseException,
    user_id: UserId | None = None,
    event_type: str | None = None,
    ip_address: str | None = None,
    request: object = None,
    **more: Any,
) -> EventId:
    """Capture an error of `security_violation`, as in `event_type="unauthorized_access"`."""
    return capture_financial_error(
        exception,
        FinancialErrorCategory.SECURITY_VIOLATION,
        user_id=user_id,
        request=request,
        **_arguments(more, {"event_type": event_type, "ip_address": ip_address}),
    )


def capture_compliance_error(
    exception: BaseException,
    user_id: UserId | None = None,
    regulation: str | None = None,
    requirement: str | None = None,
    request: object = None,
    **more: Any,
) -> EventId:
    """Capture an error of `compliance_issue`, as in `regulation="PCI_DSS"`."""
    return capture_financial_error(
        exception,
        FinancialErrorCategory.COMPLIANCE_ISSUE,
        user_id=user_id,
        request=request,
        **_arguments(more, {"regulation": regulation, "requirement": requirement}),
    )


_ARGUMENTS = frozenset({"severity", "transaction_id", "amount", "currency", "tags", "fingerprint", "handled"})


def _arguments(more: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `capture_financial_error` among `more`; everything else is additional context."""
    context = {name: value for name, value in named.items() if value is not None}
    for name in ("additional_context", "additionalContext"):
        given = more.get(name)
        context.update(given if isinstance(given, Mapping) else {})
    rest = {name: value for name, value in more.items() if not name.startswith("additional")}
    context.update({name: value for name, value in rest.items() if name not in _ARGUMENTS})
    passed = {name: value for name, value in rest.items() if name in _ARGUMENTS}
    return {**passed, "additional_context": context}
