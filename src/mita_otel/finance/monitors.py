"""Context managers for financial operations, with different sets of arguments.

All work with `with` and `async with`, and as decorators of functions, coroutines and generators.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, TypeVar

from mita_otel.finance.capture import Category, Severity
from mita_otel.finance.categories import name_of
from mita_otel.finance.decorator import decorate
from mita_otel.finance.operation import Expected, FinancialOperation, OperationKind
from mita_otel.finance.transaction import Amount, TransactionId
from mita_otel.finance.user import UserId

P = ParamSpec("P")
R = TypeVar("R")

_BACKGROUND = frozenset({"background", "background_task", "task", "job"})
_TRANSACTION = ("transaction_id", "amount", "currency")


class Monitor(FinancialOperation):
    """A financial operation that is also a decorator."""

    def __init__(self, name: str, **options: Any) -> None:
        super().__init__(name, **options)
        self._options = {option: value for option, value in options.items() if value is not None}

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """Return a function whose calls are financial operations."""
        return decorate(
            function, lambda arguments: FinancialOperation(self.name, **{**arguments, **self._options})
        )


def financial_transaction_context(
    user_id: UserId | None = None,
    operation: str = "transaction_processing",
    transaction_id: TransactionId | None = None,
    amount: Amount | None = None,
    currency: str | None = None,
    *,
    category: Category | None = None,
    severity: Severity | None = None,
    expected_errors: Expected = (),
    additional_context: Mapping[str, Any] | None = None,
) -> Monitor:
    """Run a transaction: its limit applies, and spans and errors inside contain its user and transaction.

    Args:
        user_id: The user. None: the known user.
        operation: For example `payment_processing`.
        transaction_id: The transaction.
        amount: Decimal, int, str or float; kept exactly.
        currency: ISO 4217.
        category: None: chosen by the policy's tables.
        severity: Severity of its errors. None: the policy's severity of the category.
        expected_errors: Exceptions that are business outcomes, not errors.
        additional_context: Further data for its span.

    Example:
        >>> async with financial_transaction_context(user.id, "payment_processing", payment.id, "9.90", "EUR") as ctx:
        ...     ctx.set_result(await charge(payment))
    """
    return Monitor(
        operation,
        category=category,
        user_id=user_id,
        transaction_id=transaction_id,
        amount=amount,
        currency=currency,
        data=additional_context,
        severity=severity,
        expected_errors=expected_errors,
    )


def monitor_financial_operation(
    operation_name: str,
    user_id: UserId | None = None,
    additional_context: Mapping[str, Any] | None = None,
    *,
    category: Category | None = None,
    transaction_id: TransactionId | None = None,
    amount: Amount | None = None,
    currency: str | None = None,
    severity: Severity | None = None,
    expected_errors: Expected = (),
) -> Monitor:
    """Run a financial operation, so that its limit applies; see `financial_transaction_context`."""
    return Monitor(
        operation_name,
        category=category,
        user_id=user_id,
        transaction_id=transaction_id,
        amount=amount,
        currency=currency,
        data=additional_context,
        severity=severity,
        expected_errors=expected_errors,
    )


def monitor_financial_performance(
    operation_name: str,
    operation_type: str = "financial_operation",
    user_id: UserId | None = None,
    transaction_data: Mapping[str, Any] | None = None,
    *,
    category: Category | None = None,
) -> Monitor:
    """Run a financial operation, so that its limit applies.

    Args:
        operation_name: For example `budget_calculation`.
        operation_type: `background_task` applies the limit of background tasks.
        user_id: The user.
        transaction_data: `transaction_id`, `amount` and `currency` describe the transaction; the rest becomes data
            of the span.
        category: None: chosen by the policy's tables.
    """
    data = dict(transaction_data) if isinstance(transaction_data, Mapping) else {}
    transaction = {name: data.pop(name) for name in _TRANSACTION if name in data}
    kind: OperationKind = "background" if name_of(operation_type) in _BACKGROUND else "financial"
    return Monitor(operation_name, category=category, kind=kind, user_id=user_id, data=data, **transaction)
