"""Amounts and currencies."""

from __future__ import annotations

import logging
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.finance.transaction import Money
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

MONEY = Money({"BTC": 8})


@pytest.mark.parametrize(
    ("amount", "currency", "shown"),
    [
        (0.1 + 0.2, "USD", "0.30"),
        (19.99 * 3, "EUR", "59.97"),
        (12.5, "USD", "12.50"),
        (1500, "JPY", "1500"),
        (1500.0, "JPY", "1500"),
        ("2.5", "KWD", "2.500"),
        ("2.5", "CLF", "2.5000"),
        (7, "BTC", "7.00000000"),
        ("0.00000001", "BTC", "0.00000001"),
        ("12.345", "USD", "12.345"),
        (Decimal("12.3450"), "USD", "12.3450"),
        (-5, "EUR", "-5.00"),
        ("1e3", "EUR", "1000.00"),
        (5, "XAU", "5"),
        (5, "ZZZ", "5"),
        (5.10, None, "5.1"),
        (0.0, "USD", "0.00"),
        (1e22, "USD", "10000000000000000000000.00"),
    ],
)
def test_an_amount_is_exact_with_the_decimals_of_its_currency(
    amount: Any, currency: str | None, shown: str
) -> None:
    assert MONEY.amount(amount, currency) == shown


@pytest.mark.parametrize(
    "amount",
    [
        float("nan"),
        float("inf"),
        "a lot",
        "1,234.56",
        "",
        True,
        object(),
        Decimal("sNaN"),
        10**500,
        "9" * 500,
        1e-300,
        b"5",
    ],
    ids=lambda value: f"{type(value).__name__} {str(value)[:4]}",
)
def test_an_invalid_amount_is_left_out_and_logged_once(amount: Any, caplog: pytest.LogCaptureFixture) -> None:
    money = Money({})
    assert money.amount(amount, "USD") is None
    assert money.amount(amount, "USD") is None
    assert len(caplog.records) == 1
    assert "left out" in caplog.records[0].message


@given(st.decimals(min_value=-(10**12), max_value=10**12, places=2))
def test_a_float_amount_is_rounded_to_cents(amount: Decimal) -> None:
    assert Decimal(MONEY.amount(float(amount), "EUR") or "") == amount


@given(
    st.decimals(allow_nan=False, allow_infinity=False, min_value=-(10**20), max_value=10**20),
    st.sampled_from(["USD", "JPY", "KWD", None]),
)
def test_a_decimal_is_never_rounded(amount: Decimal, currency: str | None) -> None:
    shown = MONEY.amount(amount, currency)
    if shown is not None:
        assert Decimal(shown) == amount
        assert "E" not in shown


def test_currencies_are_those_of_iso_4217_and_the_policy(caplog: pytest.LogCaptureFixture) -> None:
    assert MONEY.currency("usd") == "USD"
    assert MONEY.currency(" eur ") == "EUR"
    assert MONEY.currency("BTC") == "BTC"
    assert MONEY.currency(None) is None
    assert MONEY.currency("") is None
    assert caplog.records == []


def test_an_unknown_currency_is_kept_with_one_warning(caplog: pytest.LogCaptureFixture) -> None:
    money = Money({})
    assert [money.currency("ZZZ"), money.currency("zzz")] == ["ZZZ", "ZZZ"]
    [warning] = caplog.records
    assert warning.levelno == logging.WARNING
    assert "'ZZZ' is not in ISO 4217" in warning.message


def test_warnings_about_currencies_are_bounded(caplog: pytest.LogCaptureFixture) -> None:
    money = Money({})
    for number in range(1000):
        money.currency(f"X{number}")
    assert len(caplog.records) == 64


def test_an_amount_can_be_redacted_to_its_range() -> None:
    policy = default_policy().redaction
    ranged = policy.replace(modes={**policy.modes, "amount": "range"})
    shown = Redactor(ranged).attributes(
        {"mita.amount": "1234.50", "mita.contexts": {"financial": {"amount": "1234.50"}}}
    )
    assert "1234" not in str(shown)
    assert Redactor(policy).attributes({"mita.amount": "1234.50"}) == {"mita.amount": "1234.50"}
