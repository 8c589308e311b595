"""The transaction of an operation."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Context, Decimal
from functools import cache
from typing import Any, Final
from uuid import UUID

from mita_otel.errors import raise_interrupt

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


Amount = Decimal | int | float | str
"""An amount of money in the application."""

_logger = logging.getLogger("mita_otel.finance")

_EXACT_DIGITS: Final = 15
"""Exact decimal digits of a double; further digits are noise."""
_LARGEST_EXPONENT: Final = 40
"""Maximum power of ten of an amount."""
_CONTEXT: Final = Context(prec=4 * _LARGEST_EXPONENT)
_MAX_CODE: Final = 12
_MAX_UNKNOWN: Final = 64
"""Maximum number of warnings about unknown currencies."""


class Money:
    """Normalises amounts and currencies.

    Args:
        currencies: Currencies beyond ISO 4217, with their number of decimals.

    Example:
        >>> Money({}).amount(0.1 + 0.2, "USD")
        '0.30'
        >>> Money({}).amount(1500, "JPY")
        '1500'
        >>> Money({}).amount("2.5", "KWD")
        '2.500'
    """

    def __init__(self, currencies: Mapping[str, int]) -> None:
        self._own = dict(currencies)
        self._warned: set[str] = set()
        self._lock = threading.Lock()

    def currency(self, code: str | None) -> str | None:
        """Return the currency's code in upper case. Unknown codes are kept, with one warning."""
        if code is None:
            return None
        text = str(code).strip().upper()[:_MAX_CODE]
        if not text:
            return None
        if text not in self._own and text not in _iso_exponents():
            self._warn(
                text, f"currency {text!r} is not in ISO 4217; if it is right, add it to finance.currencies"
            )
        return text

    def amount(self, amount: Amount | None, currency: str | None = None) -> str | None:
        """Return the amount as an exact decimal text, with at least its currency's decimals.

        A float is reduced to its 15 exact digits. Other types keep all digits; amounts are not rounded to the
        currency. A value that is not a finite number gives None and a warning.
        """
        if amount is None:
            return None
        number = _number(amount)
        if number is None:
            kind = type(amount).__name__
            self._warn(
                f"amount:{kind}", f"an amount of type {kind} is not a finite decimal number and is left out"
            )
            return None
        decimals = self.decimals(currency)
        exponent = number.as_tuple().exponent
        if decimals is not None and isinstance(exponent, int) and exponent > -decimals:
            number = number.quantize(Decimal(1).scaleb(-decimals), context=_CONTEXT)
        return f"{number:f}"

    def decimals(self, currency: str | None) -> int | None:
        """Return the number of decimals of a currency. None: it is unknown, or not defined (gold)."""
        if currency is None:
            return None
        return self._own[currency] if currency in self._own else _iso_exponents().get(currency)

    def _warn(self, what: str, message: str) -> None:
        with self._lock:
            if what in self._warned or len(self._warned) >= _MAX_UNKNOWN:
                return
            self._warned.add(what)
        _logger.warning(message)


def _number(amount: object) -> Decimal | None:
    if isinstance(amount, bool):
        return None
    try:
        if isinstance(amount, float):
            number = Decimal(f"{amount:.{_EXACT_DIGITS}g}")
        else:
            number = Decimal(amount if isinstance(amount, Decimal | int) else str(amount).strip())
    except BaseException as error:  # noqa: BLE001 - an application's type may raise anything
        raise_interrupt(error)
        return None
    if not number.is_finite() or abs(number.adjusted()) > _LARGEST_EXPONENT:
        return None
    return number if len(number.as_tuple().digits) <= 2 * _LARGEST_EXPONENT else None


@cache
def _iso_exponents() -> Mapping[str, int | None]:
    """Return the currencies of ISO 4217 with their number of decimals, from the package iso4217."""
    from iso4217 import Currency

    return {currency.code: currency.exponent for currency in Currency}
