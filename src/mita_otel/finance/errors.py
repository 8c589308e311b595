"""Captures errors: one error per call, linked to the trace, with the context of where it happened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from mita_otel.finance.capture import Category, ErrorReport, Severity, capture
from mita_otel.finance.categories import FinancialErrorCategory
from mita_otel.finance.events import NO_EVENT, EventId
from mita_otel.finance.runtime import running
from mita_otel.finance.transaction import Amount, TransactionId
from mita_otel.finance.user import UserId

_NO_EXCEPTION: Final = (
    "capture_financial_error got {} instead of an exception: nothing was captured. "
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
    """Capture an error with its financial context. It can be called or awaited.

    The error becomes a log record named `mita.error` in the current trace, and an issue in Sentry. An exception is
    captured once: further calls, decorators and middleware return the same id.

    Args:
        exception: The exception.
        category: None: the category of the current operation, or `system_error`.
        severity: None: the policy's severity of the category.
        user_id: None: the known user. The next three default to the known transaction.
        transaction_id: The transaction.
        amount: Decimal, int, str or float; kept exactly.
        currency: ISO 4217. Unknown codes are kept, with a warning.
        request: A Starlette or FastAPI request, if the middleware is not in use.
        additional_context: Further data; redacted before export.
        additionalContext: The same as `additional_context`.
        tags: Additional tags.
        fingerprint: Groups errors into issues. None: category, type and place in the code.
        handled: False if nothing caught the exception.

    Returns:
        The event's id, 32 hexadecimal digits, the same in Sentry and in `mita.event.id`. Empty if telemetry is off.
    """
    runtime = running()
    if runtime is None:
        return NO_EVENT
    given: object = exception
    if not isinstance(given, BaseException):
        runtime.log_once(_NO_EXCEPTION.format("a class" if isinstance(given, type) else type(given).__name__))
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
    """Capture an error of category `transaction_processing`.

    Args:
        exception: The exception. For the arguments that are not here see `capture_financial_error`.
        user_id: The user.
        transaction_id: The transaction.
        amount: The amount.
        currency: ISO 4217.
        transaction_type: For example `transfer`.
        merchant: The payee.
        category: The transaction's category, for example `groceries`.
        request: The request, if the middleware is not in use.
        more: `severity`, `tags`, `fingerprint`, `handled`, `additional_context`, or additional context as keywords.

    Returns:
        The event's id.
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
    """Capture an error of category `authentication`, for example with `auth_method="password"`."""
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
    """Capture an error of category `payment_processing`, for example with `payment_method="credit_card"`."""
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
    """Capture an error of category `budget_calculation`, for example with `calculation_type="monthly"`."""
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
    """Capture an error of category `security_violation`, for example with `event_type="unauthorized_access"`."""
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
    """Capture an error of category `compliance_issue`, for example with `regulation="PCI_DSS"`."""
    return capture_financial_error(
        exception,
        FinancialErrorCategory.COMPLIANCE_ISSUE,
        user_id=user_id,
        request=request,
        **_arguments(more, {"regulation": regulation, "requirement": requirement}),
    )


_ARGUMENTS = frozenset({"severity", "transaction_id", "amount", "currency", "tags", "fingerprint", "handled"})


def _arguments(more: Mapping[str, Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `capture_financial_error`: the rest of `more` becomes additional context."""
    context = {name: value for name, value in named.items() if value is not None}
    for name in ("additional_context", "additionalContext"):
        given = more.get(name)
        context.update(given if isinstance(given, Mapping) else {})
    rest = {name: value for name, value in more.items() if not name.startswith("additional")}
    context.update({name: value for name, value in rest.items() if name not in _ARGUMENTS})
    passed = {name: value for name, value in rest.items() if name in _ARGUMENTS}
    return {**passed, "additional_context": context}
