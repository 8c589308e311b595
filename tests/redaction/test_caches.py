"""A path or query is scanned once for all its possible ids, without missing a secret."""

from __future__ import annotations

import re
import uuid
from typing import Any

import pytest
from benchmarks.redaction_corpus import cases
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.policy import default_policy
from mita_otel.policy.redaction import CustomRule, RedactionPolicy
from mita_otel.redaction import Redactor
from mita_otel.redaction.texts import blank_ids, stands_for_all


@pytest.mark.parametrize(
    ("text", "blanked"),
    [
        ("/api/accounts/42/transactions", "/api/accounts/11/transactions"),
        ("page=20&limit=50", "page=11&limit=11"),
        ("u_123", "u_111"),
        ("/orders/ord_99", "/orders/ord_11"),
        ("/a/4f5e6d7c-8b9a-4c0d-9e1f-2a3b4c5d6e7f", "/a/0a111111-1111-1111-1111-111111111111"),
    ],
)
def test_ids_in_a_text_are_blanked(text: str, blanked: str) -> None:
    assert blank_ids(text) == blanked


@pytest.mark.parametrize(
    "text",
    [
        "/cards/4012/8888/8888/1881",  # groups of one number
        "pan=4012888888881881",  # long enough to be a card
        "routing=021000021",  # nine digits have check digits
        "/track2/v1",  # digits of a name
        "order 42 of 99",  # natural language
        "id=%34%32",  # encoded
        "/a/40128888-8888-1881-1234-123456789012",  # a UUID of digits alone reads like a number
    ],
)
def test_text_without_ids_is_unchanged(text: str) -> None:
    assert blank_ids(text) == text


def test_a_text_with_check_digits_is_not_cached_for_other_digits() -> None:
    assert not stands_for_all("/x/MT84MALT/11111/ABCDEFGHIJKLMNOPQR")
    assert not stands_for_all("auth=basic:YWRt/11/abcd")
    assert stands_for_all("/api/accounts/11/transactions")


def test_paths_with_different_ids_are_scanned_once(policy: RedactionPolicy, monkeypatch: Any) -> None:
    redactor = Redactor(policy)
    looked: list[str] = []
    look = redactor.compile().values._texts.text
    monkeypatch.setattr(
        redactor.compile().values._texts, "text", lambda text, tally: looked.append(text) or look(text, tally)
    )
    for number in range(1000, 1100):
        path = f"/api/accounts/{number}/transactions"
        assert redactor.attributes({"url.path": path}) == {"url.path": path}
        redactor.attributes({"url.path": f"/api/orders/{uuid.UUID(int=number << 64 | 0xABC << 112)}"})
    assert [text for text in looked if text.startswith("/")] == [
        "/api/accounts/1111/transactions",
        "/api/orders/0a111111-1111-1111-1111-111111111111",
    ]


def test_a_custom_pattern_is_applied_to_each_id(policy: RedactionPolicy) -> None:
    staff = CustomRule(pattern=r"\b900\d{3}\b")
    redactor = Redactor(policy.replace(custom={"staff": staff}))
    assert redactor.attributes({"url.path": "/people/100123"}) == {"url.path": "/people/100123"}
    assert redactor.attributes({"url.path": "/people/900123"}) == {"url.path": "/people/[redacted:staff]"}


_WORDS = st.sampled_from(
    [
        *(
            "pin",
            "cvv",
            "pan",
            "card",
            "account",
            "ssn",
            "routing",
            "aba",
            "token",
            "code",
            "state",
            "verify",
            "reset",
        ),
        *(
            "track_2",
            "otp",
            "basic",
            "bearer",
            "iban",
            "id",
            "v1",
            "api",
            "page",
            "password",
            "sort-code",
            "MT84MALT",
        ),
        *(
            "GB82WEST",
            "DE",
            "key",
            "x",
            "www.bank.test",
            "http:",
            "https:",
            "key-",
            "sid",
            "2fa",
            "10.0.0.1",
            "ABCDEF",
        ),
    ]
)
_NUMBERS = st.one_of(
    st.text("0123456789", min_size=1, max_size=9),
    st.text("0123456789", min_size=1, max_size=8).map("u_".__add__),
    st.sampled_from(["021000021", "078-05-1120", "4012", "8888", "8888", "1881", "2024", "4012888888881881"]),
    st.uuids().map(str),
)
_PATHS = st.lists(
    st.tuples(st.one_of(_WORDS, _NUMBERS), st.sampled_from(["/", "=", "&", "?", ":", "-", ".", "//"])),
    max_size=9,
).map(lambda pieces: "".join(word + sign for word, sign in pieces))


def _redactors() -> tuple[Redactor, Redactor]:
    """Return a redactor without caches and one with caches."""
    return _UNCACHED, Redactor(default_policy().redaction)


_CACHED = Redactor(default_policy().redaction)
_UNCACHED = Redactor(default_policy().redaction.replace(max_cached=0))


@given(_PATHS, _NUMBERS, st.permutations("0123456789"))
def test_cached_results_equal_uncached_ones_for_other_ids(start: str, end: str, digits: list[str]) -> None:
    text = start + end
    other = text.translate(str.maketrans("0123456789", "".join(digits)))
    uncached, cached = _redactors()
    cached.text(other)
    assert cached.text(text) == uncached.text(text)


def test_a_token_that_ends_like_a_benign_uuid_is_found() -> None:
    uncached, cached = _redactors()
    cached.text("/v1//7a52c9c0-7df4-4c9e-9d4c-4c92371526ac")
    token = "/v1//00a52c9c-7df4-4c9e-9d4c-4c92371526ac"
    assert cached.text(token) == uncached.text(token) == "/v[redacted:key]"


def test_letters_of_a_uuid_are_not_a_name_of_the_next_number(redactor: Redactor) -> None:
    path = "/verify/91037ae3-201c-4341-aba3-b2678e19b815/021000021"
    assert redactor.text(path) == path


def test_corpus_results_are_equal_after_caching_texts_with_other_digits() -> None:
    texts = [case for case in cases() if case.place in ("text", "url")]
    assert len(texts) > 1000
    failures = []
    for case in texts:
        for digit in "0159":
            _CACHED.text(re.sub(r"\d", digit, case.value))
        seen, unseen = _CACHED.text(case.value), _UNCACHED.text(case.value)
        if seen != unseen:
            failures.append(f"{case.name}: {seen!r} instead of {unseen!r}")
    assert not failures, "\n".join(["", *failures])
