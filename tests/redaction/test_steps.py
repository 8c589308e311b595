"""Hostile texts need a bounded number of steps per character. Steps are counted, not timed."""

from __future__ import annotations

import itertools
import random
import sys
from typing import Any

import pytest

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor

MOST = 10
"""The maximum ratio of steps to those of a benign text of the same length."""
PLAIN = "The payment service accepted the order of the customer. "
PARTS = [
    "a", "4+2+", "4 ", "4-2-", "DE89", "GB82 ", "password ", "password=", "password: ", "token ", "card ", "pin ", "cvv 1", "otp ", "key: ",
    "account 1", "is ", "was ", "for ", "got ", "(", ")", "'", '"', "[", "]", "<a>", "</", "|", ",", "\n", "\t", " ", "=", ":", "->", "密码", "验证码是",
    "Bearer ", "Cookie: ", "Key (a)=(", "Duplicate entry '", "[SQL: ", "[parameters: ", "input_value=", "eyJ", "%41", "\\", "/pin/", "://", "@",
    "SELECT FROM ", "VALUES (", "--", "/*", "$$", "[redacted:pan]", "1", "0", "12-34-56 ", "ssn ", "a,b\n", "a | b\n", "a: |\n", "- ", "x.y=",
    "5A08", "5A:08:", "5781", "name: pin\nvalue: ", "setPin('", "4,000,", "\u201c", "\u2192", "s:3:\"pin\";", "is too short ", "parsing \"", "Schlussel (a)=(",
    "mysql -p", "curl -u a:", "openssl ", "-k ", "setx pin ", "login a/", "login for ", "YWJjZGVm", "6162", "COPY t FROM STDIN;\n", "password, abcde, ",
    "{", "{{", "; ", "'loc': ('pin',)", "'input': ", "h:5432:d:u:", "20261201", "\\'", "wrong: ",
]  # fmt: skip


def steps(redactor: Redactor, text: str) -> int:
    """Return the number of calls that redacting the text needs."""
    count = 0

    def on_event(frame: Any, event: str, argument: Any) -> None:
        nonlocal count
        count += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(on_event)
    try:
        redactor.text(text)
    finally:
        sys.setprofile(before)
    return count


@pytest.fixture(scope="module")
def uncached(policy: RedactionPolicy) -> Redactor:
    redactor = Redactor(policy.replace(max_cached=0))
    redactor.text("password is hunter2-Zx of card 4111111111111111")  # fills the caches of names
    return redactor


def texts(size: int) -> list[str]:
    """Return each part repeated, and parts mixed at random, always the same."""
    choice = random.Random(7)
    mixed = ["".join(choice.choices(PARTS, k=6)) for _ in range(40)]
    return [(unit * (size // len(unit) + 1))[:size] for unit in itertools.chain(PARTS, mixed)]


def test_a_hostile_text_needs_at_most_ten_times_the_steps_of_a_benign_one(uncached: Redactor) -> None:
    plain = steps(uncached, (PLAIN * 40)[:1500])
    costs = [(steps(uncached, text) / plain, text[:40]) for text in texts(1500)]
    assert [one for one in costs if one[0] > MOST] == []


def test_steps_grow_linearly_with_the_length(uncached: Redactor) -> None:
    for short, long in zip(texts(750), texts(1500), strict=True):
        assert steps(uncached, long) <= 2.3 * steps(uncached, short) + 2000, short[:40]
