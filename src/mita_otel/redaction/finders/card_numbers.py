"""Which digits are a card number: issuer's prefix, length, check digit."""

from __future__ import annotations

import functools
from typing import Final

_DOUBLED: Final = str.maketrans("0123456789", "0246813579")
"""The sum of the digits of twice a digit."""


def has_check_digit(digits: str) -> bool:
    """Return whether the last digit is Luhn's (ISO/IEC 7812-1)."""
    return (sum(map(int, digits[::-2])) + sum(map(int, digits[-2::-2].translate(_DOUBLED)))) % 10 == 0


def _has_issuer(digits: str) -> bool:
    size = len(digits)
    return any(
        low <= digits[: len(low)] <= high and size in sizes for low, high, sizes in _ISSUERS[digits[0]]
    )


_LONG: Final = frozenset(range(16, 20))
_ANY: Final = frozenset(range(12, 20))
_RANGES: Final = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),  # American Express
    ("300", "305", frozenset(range(14, 20))),  # Diners Club
    ("3095", "3095", frozenset(range(14, 20))),  # Diners Club
    ("36", "36", frozenset(range(14, 20))),  # Diners Club
    ("38", "39", frozenset(range(14, 20))),  # Diners Club
    ("3528", "3589", _LONG),  # JCB
    ("2131", "2131", frozenset({15})),  # JCB
    ("1800", "1800", frozenset({15})),  # JCB
    ("6011", "6011", _LONG),  # Discover
    ("644", "659", _LONG),  # Discover, RuPay, Elo, Troy
    ("60", "60", _LONG),  # RuPay, Hipercard
    ("62", "62", _LONG),  # UnionPay
    ("81", "82", _LONG),  # UnionPay, RuPay
    ("2200", "2204", _LONG),  # Mir
    ("50", "50", _LONG),  # Maestro, Elo, Verve, Dankort, RuPay
    ("56", "58", _LONG),  # Maestro
    ("61", "61", _LONG),  # Maestro
    ("63", "64", _LONG),  # Maestro, Elo, InterPayment
    ("66", "69", _LONG),  # Maestro
    ("9792", "9792", frozenset({16})),  # Troy
    ("5018", "5018", _ANY),  # Maestro
    ("5020", "5020", _ANY),  # Maestro
    ("5038", "5038", _ANY),  # Maestro
    ("5893", "5893", _ANY),  # Maestro
    ("6304", "6304", _ANY),  # Maestro
    ("6759", "6763", _ANY),  # Maestro
    ("676770", "676774", _ANY),  # Maestro
)
_ISSUERS: Final = {first: tuple(r for r in _RANGES if r[0][0] <= first <= r[1][0]) for first in "0123456789"}


def is_card_number(digits: str) -> bool:
    """Return whether 12 to 19 digits have an issuer's prefix, its length and a valid check digit.

    Sources: ISO/IEC 7812-1; the schemes' published ranges of issuer identification numbers.
    """
    return 12 <= len(digits) <= 19 and _has_issuer(digits) and has_check_digit(digits)


@functools.lru_cache(maxsize=4096)
def card_sizes(prefix: str) -> tuple[int, ...]:
    """Return the lengths of the card numbers that begin with six digits, the shortest first."""
    ranges = _ISSUERS.get(prefix[:1], ())
    return tuple(
        sorted({size for low, high, sizes in ranges if low <= prefix[: len(low)] <= high for size in sizes})
    )
