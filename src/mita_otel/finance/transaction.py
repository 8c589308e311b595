"""Which transaction an operation is about."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from mita_otel.finance.money import Amount

TransactionId = str | int | UUID
"""A transaction's id as applications hold it."""


@dataclass(frozen=True)
class FinancialContext:
    """A transaction, as far as it is known."""

    transaction_id: TransactionId | None = None
    amount: Amount | None = None
    """Decimal, int, str or float; shown as an exact decimal."""
    currency: str | None = None
    """ISO 4217."""
    transaction_type: str | None = None
    """As in `transfer`."""
    payment_method: str | None = None
    """As in `credit_card`; never a number."""
    merchant: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Anything else that an error shall show."""

    @property
    def id(self) -> str | None:
        """The id as text."""
        return None if self.transaction_id is None else str(self.transaction_id)

    def details(self) -> dict[str, Any]:
        """Return what an error shows beside id, amount and currency."""
        named = {
            "transaction_type": self.transaction_type,
            "payment_method": self.payment_method,
            "merchant": self.merchant,
        }
        return {**{name: value for name, value in named.items() if value is not None}, **self.extra}
