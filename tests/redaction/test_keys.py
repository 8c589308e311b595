"""Names are split into words, in any naming convention."""

from __future__ import annotations

import importlib
import pkgutil

import opentelemetry.semconv._incubating.attributes as incubating
import opentelemetry.semconv.attributes as stable
import pytest

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.redaction.key_words import split_words

GUIDE = (
    "password",
    "token",
    "secret",
    "key",
    "card_number",
    "cvv",
    "pin",
    "ssn",
    "account_number",
    "routing_number",
    "iban",
)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cardNumber", ("card", "number")),
        ("CARD-NUMBER", ("card", "number")),
        ("user.card_number", ("user", "card", "number")),
        ("APIKey", ("api", "key")),
        ("iban2", ("iban", "2")),
        ("XMLHttpRequest", ("xml", "http", "request")),
        ("user[password]", ("user", "password")),
        ("ｃａｒｄ_number", ("card", "number")),
        ("", ()),
    ],
)
def test_a_name_is_split_at_separators_capitals_and_digits(name: str, words: tuple[str, ...]) -> None:
    assert split_words(name) == words


@pytest.mark.parametrize("name", GUIDE)
def test_every_name_of_the_guide_is_sensitive_in_every_convention(redactor: Redactor, name: str) -> None:
    camel = name.split("_")[0] + "".join(word.title() for word in name.split("_")[1:])
    for spelling in (
        name,
        name.upper(),
        name.replace("_", "-"),
        camel,
        f"user.{name}",
        name.replace("_", ""),
    ):
        assert redactor.attributes({spelling: "value"}) != {spelling: "value"}, spelling


def test_every_name_of_the_guide_is_in_the_policy() -> None:
    assert set(GUIDE) | {"card", "account"} <= set(default_policy().redaction.keys.sensitive)


def test_a_nested_name_is_judged_with_its_sensitive_parent(redactor: Redactor) -> None:
    account = {"type": "checking", "number": "77", "id": 5, "created_count": 3, "owner": {"name": "Ada"}}
    assert redactor.attributes({"account": account, "number": "77"}) == {
        "account": {
            "type": "checking",
            "number": "[redacted:account]",
            "id": 5,
            "created_count": 3,
            "owner": {"name": "[redacted:account]"},
        },
        "number": "77",
    }


def test_the_value_of_a_reference_name_decides(redactor: Redactor) -> None:
    assert redactor.attributes({"account_id": "acc_5"}) == {"account_id": "acc_5"}
    assert redactor.attributes({"account_id": "1234 5678"}) == {"account_id": "[redacted:account]"}


def test_the_cache_of_names_is_bounded(redactor: Redactor) -> None:
    for index in range(9000):
        redactor.keys.judge(f"name_{index}")
    assert len(redactor.keys.known) <= 4096


def test_only_actual_secrets_of_opentelemetrys_conventions_are_sensitive(
    redactor: Redactor,
) -> None:
    names = {
        value
        for package in (stable, incubating)
        for module in pkgutil.iter_modules(package.__path__)
        for constant, value in vars(importlib.import_module(f"{package.__name__}.{module.name}")).items()
        if constant.isupper() and isinstance(value, str)
    }
    assert len(names) > 700
    hidden = {name for name in names if redactor.attributes({name: "v_7"}) != {name: "v_7"}}
    assert hidden == {"db.connection_string", "db.query.parameter"}
