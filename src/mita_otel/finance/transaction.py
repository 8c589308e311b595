"""The transaction of an operation."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from mita_otel.finance.money import Amount

TransactionId = str | int | UUID
"""A transaction's id in the application."""


@dataclass(frozen=True)
class FinancialContext:
    """The known facts of a transaction."""

    transaction_id: TransactionId | None = None
    amount: Amount | None = None
    """Decimal, int, str or float; kept as an exact decimal."""
    currency: str | None = None
    """ISO 4217."""
    transaction_type: str | None = None
    """For example `transfer`."""
    payment_method: str | None = None
    """For example `credit_card`; never a card number."""
    merchant: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Further data for errors."""

    @property
    def id(self) -> str | None:
        """The id as text."""
        return None if self.transaction_id is None else str(self.transaction_id)

    def details(self) -> dict[str, Any]:
        """Return further details for errors."""
        named = {
            "transaction_type": self.transaction_type,
            "payment_method": self.payment_method,
            "merchant": self.merchant,
        }
        return {**{name: value for name, value in named.items() if value is not None}, **self.extra}
