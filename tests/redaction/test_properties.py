"""Properties for any input: secrets are redacted, other text is unchanged, and redaction is idempotent."""

from __future__ import annotations

import datetime as dt
import json
import re
import string
from collections import Counter
from typing import Any
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor

REDACTOR = Redactor(default_policy().redaction)

LETTERS = st.text(alphabet=string.ascii_letters + " ,;!?()", max_size=20)
ANY_TEXT = st.text(max_size=40).filter(lambda text: not any(char.isdigit() for char in text))
SEPARATORS = st.sampled_from(["", " ", "-", ".", "\u00a0", "\u2011", "\u2009"])
PREFIXES = ["4", "51", "55", "2221", "34", "37", "6011", "65", "3528", "62", "36", "2200"]


def with_check_digit(digits: str) -> str:
    total = 0
    for index, char in enumerate(reversed(digits)):
        number = int(char) * (2 if index % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return digits + str(-total % 10)


@st.composite
def card_numbers(draw: st.DrawFn) -> str:
    prefix = draw(st.sampled_from(PREFIXES))
    length = {"34": 15, "37": 15, "36": 14}.get(prefix, 16)
    rest = draw(st.text("0123456789", min_size=length - 1 - len(prefix), max_size=length - 1 - len(prefix)))
    return with_check_digit(prefix + rest)


@st.composite
def ibans(draw: st.DrawFn) -> str:
    country, size = draw(
        st.sampled_from([("DE", 18), ("BE", 12), ("AT", 16), ("ES", 20), ("NO", 11), ("PL", 24)])
    )
    bban = draw(st.text("0123456789", min_size=size, max_size=size))
    number = int("".join(str(int(char, 36)) for char in bban + country + "00"))
    return f"{country}{98 - number % 97:02d}{bban}"


TOKENS = st.one_of(
    st.text(string.ascii_letters + string.digits, min_size=24, max_size=24).map(
        lambda body: "sk_" + "live_" + body
    ),
    st.text(string.ascii_letters + string.digits, min_size=36, max_size=36).map(
        lambda body: "gh" + "p_" + body
    ),
    st.text(string.ascii_uppercase + string.digits, min_size=16, max_size=16).map(
        lambda body: "AK" + "IA" + body
    ),
    st.text(string.ascii_letters + string.digits, min_size=16, max_size=40).map(
        lambda body: "eyJ" + "hbGciOiJIUzI1NiJ9." + "eyJzdWIiOiJib2IifQ." + body
    ),
)
SECRETS = st.one_of(card_numbers(), ibans(), TOKENS)


def grouped(number: str, separator: str) -> str:
    return separator.join(number[i : i + 4] for i in range(0, len(number), 4))


@given(LETTERS, card_numbers(), SEPARATORS, LETTERS)
def test_a_card_number_in_a_text_is_redacted(before: str, number: str, separator: str, after: str) -> None:
    written = grouped(number, separator)
    marked = re.escape(before) + r" \[redacted:\w+\] " + re.escape(after)
    assert re.fullmatch(marked, REDACTOR.text(f"{before} {written} {after}"))
    assert written not in REDACTOR.text(before + written + after)


@given(ANY_TEXT, card_numbers(), ANY_TEXT)
def test_a_card_number_between_any_characters_is_redacted(before: str, number: str, after: str) -> None:
    assert number not in REDACTOR.text(before + number + after)


@given(LETTERS, ibans(), st.sampled_from(["", " ", "-"]), st.text(" ,;!?()", max_size=5))
def test_an_iban_in_a_text_is_redacted(before: str, iban: str, separator: str, after: str) -> None:
    written = grouped(iban, separator)
    assert written[6:] not in REDACTOR.text(f"{before} {written}{after}")


@given(st.text(" ,;!?()", max_size=20), TOKENS, st.text(" ,;!?()", max_size=20))
def test_a_token_in_a_text_is_redacted(before: str, token: str, after: str) -> None:
    assert token[-12:] not in REDACTOR.text(before + token + after)


@given(card_numbers(), st.sampled_from(["", " ", "-"]))
def test_a_percent_encoded_card_number_is_redacted(number: str, separator: str) -> None:
    every_digit = "".join(f"%3{digit}" for digit in number)
    for written in (quote(grouped(number, separator), safe=""), every_digit, quote(every_digit, safe="")):
        assert written not in REDACTOR.url(f"https://shop.test/pay?n={written}&ok=1")


NESTINGS = st.recursive(
    st.just("leaf"),
    lambda inner: st.one_of(
        st.tuples(st.just("list"), inner),
        st.tuples(st.just("dict"), inner),
        st.tuples(st.just("json"), inner),
        st.tuples(st.just("bytes"), inner),
    ),
    max_leaves=6,
)


def nest(shape: Any, leaf: Any) -> Any:
    if shape == "leaf":
        return leaf
    kind, inner = shape
    value = nest(inner, leaf)
    if kind == "list":
        return ["first", value, 3]
    if kind == "dict":
        return {"first": 1, "inner": value}
    if kind == "json":
        return json.dumps({"inner": value.decode() if isinstance(value, bytes) else plain(value)})
    return value if isinstance(value, (list, dict, bytes)) else str(value).encode()


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, list):
        return [plain(member) for member in value]
    if isinstance(value, dict):
        return {key: plain(member) for key, member in value.items()}
    return value


@given(NESTINGS, SECRETS)
def test_a_secret_in_any_nesting_is_redacted(shape: Any, secret: str) -> None:
    assert secret not in repr(REDACTOR.attributes({"data": nest(shape, secret)}))


@given(
    NESTINGS,
    st.sampled_from(["password", "apiKey", "card-number", "user.ssn", "CVV"]),
    st.text("qxz", min_size=9, max_size=12),
)
def test_values_under_a_sensitive_name_in_any_nesting_are_redacted(
    shape: Any, name: str, secret: str
) -> None:
    assert secret not in repr(REDACTOR.attributes({"data": nest(shape, {name: secret})}))


@given(st.text("'\"\\$;-/*x1 \n(),#`", max_size=40), st.sampled_from([None, "postgresql", "mysql", "sqlite"]))
def test_masking_any_statement_raises_nothing_and_is_idempotent(statement: str, dialect: str | None) -> None:
    tally: Counter[str] = Counter()
    once = REDACTOR.sql(statement, tally, dialect=dialect)
    assert not tally["error"]
    assert REDACTOR.sql(once, dialect=dialect) == once


@given(
    st.text(string.ascii_letters + string.digits + " -_", min_size=8, max_size=30),
    st.sampled_from([None, "postgresql", "mysql", "sqlite"]),
)
def test_every_literal_of_a_statement_is_masked(literal: str, dialect: str | None) -> None:
    secret = f"q{literal}q"
    statement = f"SELECT a FROM t WHERE b = '{secret}' AND c IN ('{secret}', 1234567) AND d = ?"
    result = REDACTOR.sql(statement, dialect=dialect)
    assert result == "SELECT a FROM t WHERE b = ? AND c IN (?, ?) AND d = ?"


@given(st.text(max_size=200))
def test_redacting_a_text_is_idempotent(text: str) -> None:
    once = REDACTOR.text(text)
    assert REDACTOR.text(once) == once


@given(st.text(alphabet=string.ascii_letters + " .,!?\n", max_size=200))
def test_benign_text_is_returned_unchanged(text: str) -> None:
    assert REDACTOR.text(text) is text or REDACTOR.text(text) == text


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**9), 10**9),
        st.floats(-1e9, 1e9),
        st.text(string.ascii_letters + " ", max_size=20),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["alpha", "beta", "size"]), inner, max_size=3),
    ),
    max_leaves=12,
)


@given(VALUES)
def test_values_without_a_secret_are_returned_equal(value: Any) -> None:
    assert REDACTOR.attributes({"data": value}) == {"data": value}


@given(st.one_of(st.binary(max_size=100), st.text(max_size=100)))
@pytest.mark.filterwarnings("error")
def test_redacting_any_value_raises_nothing(value: Any) -> None:
    tally: Counter[str] = Counter()
    REDACTOR.attributes({"data": value}, tally)
    assert not tally["error"]


ISSUED = st.sampled_from(
    [("4", 13), ("4", 16), ("4", 19), ("51", 16), ("2720", 16), ("34", 15), ("300", 14), ("39", 14), ("6011", 19), ("3589", 16), ("62", 18),
     ("2204", 16), ("5018", 12), ("6304", 12), ("6763", 17), ("676770", 19), ("8171", 16), ("9792", 16), ("6054", 16)]
)  # fmt: skip
ODD = st.sampled_from(
    ["", " ", "-", ".", "_", "\u00a0", "\u2011", "/", "+", " - ", "\u200b", "\u00b7", "~", "*", "="]
)
SCRIPTS = st.sampled_from([0x30, 0xFF10, 0x660, 0x966, 0xE50])
BESIDE = st.text(string.ascii_letters + " ,;.!?()[]{}<>\"'&#@/|~^*$\n\t中é", max_size=10)


@given(ISSUED, st.randoms(use_true_random=False), ODD, SCRIPTS, st.integers(0, 2), BESIDE, BESIDE)
def test_a_card_number_of_any_scheme_and_notation_is_redacted(
    issued: tuple[str, int], random: Any, separator: str, script: int, encoded: int, before: str, after: str
) -> None:
    prefix, size = issued
    number = with_check_digit(
        prefix + "".join(random.choice("0123456789") for _ in range(size - 1 - len(prefix)))
    )
    written = "".join(chr(script + int(c)) if c.isdigit() else c for c in grouped(number, separator))
    for _ in range(encoded):
        written = "".join(f"%{byte:02X}" for byte in written.encode())
    text = f"{before} {written} {after}"
    for shown in (
        REDACTOR.text(text),
        repr(REDACTOR.attributes({"a": [{"b": text}]})),
        repr(REDACTOR.event({"extra": {"a": text}})),
        REDACTOR.sql(f"SELECT a FROM t WHERE b = {text}"),
    ):
        assert written not in shown


HEX = "0123456789abcdef"
BENIGN = st.one_of(
    st.uuids().map(str),
    st.uuids().map(lambda one: str(one).upper()),
    st.sampled_from([32, 40, 64]).flatmap(lambda size: st.text(HEX, min_size=size, max_size=size)),
    st.tuples(st.text(HEX, min_size=32, max_size=32), st.text(HEX[10:], min_size=16, max_size=16)).map(
        lambda ids: f"00-{ids[0]}-{ids[1]}-01"
    ),
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)).map(lambda one: one.isoformat()),
    st.datetimes(dt.datetime(1990, 1, 1), dt.datetime(2040, 1, 1)).map(lambda one: one.strftime("%Y-%m-%d %H:%M:%S,%f")),
    st.integers(1_500_000_000, 1_799_999_999).map(str),
    st.integers(1_500_000_000_000, 1_799_999_999_999).map(str),
    st.integers(1_500_000_000_000_000_000, 1_799_999_999_999_999_999).map(str),
    st.tuples(*[st.integers(0, 255)] * 4, st.integers(1, 65535)).map(lambda p: f"{p[0]}.{p[1]}.{p[2]}.{p[3]}:{p[4]}"),
    st.tuples(*[st.integers(0, 999)] * 3).map(lambda p: f"v{p[0]}.{p[1]}.{p[2]}"),
    st.floats(0, 1e7).map(lambda one: f"{one:,.2f} EUR"),
    st.tuples(st.integers(200, 999), st.integers(200, 999), st.integers(0, 9999)).map(lambda p: f"+1 {p[0]} {p[1]} {p[2]:04}"),
    card_numbers().map(lambda number: f"order {number[:-1]}{(int(number[-1]) + 1) % 10}"),
    st.text(string.ascii_lowercase, min_size=1, max_size=12).map(lambda word: f"/api/{word}/{{id}}"),
)  # fmt: skip
"""Ids, digests, times, addresses, versions, amounts, phone numbers, order numbers, routes."""


@given(
    BENIGN,
    st.sampled_from(["{}", "request {} done", "id={}", "[{}]", '{{"value": "{}"}}', "a, {}, b", "x/{}/y"]),
)
def test_benign_values_similar_to_secrets_are_unchanged(benign: str, around: str) -> None:
    text = around.format(benign)
    assert REDACTOR.text(text) == text
    assert REDACTOR.attributes({"note": [text, {"inner": text}]}) == {"note": [text, {"inner": text}]}
