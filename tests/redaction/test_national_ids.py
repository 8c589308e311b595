"""National identification numbers are found by check digits; weak ones only beside their name. Published examples."""

from __future__ import annotations

import pytest

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Aadhaar {} failed", "2345 6789 0124"),
        ("NINO {} refused", "AB123456C"),
        ("SIN {} refused", "123-456-782"),
        ("TFN {} refused", "123 456 782"),
        ("PESEL {} refused", "44051401359"),
        ("customer {} refused", "390.533.447-05"),
        ("customer {} refused", "RCCMNL83S18D969H"),
        ("customer {} refused", "54362315K"),
        ("BSN {} refused", "111222333"),
        ("customer {} refused", "880320-0016"),
        ("customer {} refused", "131052-308T"),
        ("customer {} refused", "BOXW310820HNERXN09"),
        ("Steuer-ID {} refused", "36 574 261 809"),
        ("customer {} refused", "756.9217.0769.85"),
        ("TC kimlik no {} refused", "17291716060"),
    ],
)
def test_a_number_with_valid_check_digits_is_redacted(redactor: Redactor, text: str, number: str) -> None:
    assert redactor.text(text.format(number)) == text.format("[redacted:ssn]")


@pytest.mark.parametrize(
    "text",
    [
        "customer 44051401359 refused",
        "order 2345 6789 0124",
        "customer 54362315X refused",
        "ref 390.533.447-06",
    ],
)
def test_a_number_without_its_name_or_valid_check_digits_is_unchanged(redactor: Redactor, text: str) -> None:
    assert redactor.text(text) == text


def test_only_countries_in_the_policy_are_checked(policy: RedactionPolicy) -> None:
    only_italy = Redactor(policy.replace(national_ids=("it",)))
    assert only_italy.text("customer 54362315K") == "customer 54362315K"
    assert only_italy.text("customer RCCMNL83S18D969H") == "customer [redacted:ssn]"
