"""Replacements, by mode."""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from typing import Any

import pytest

from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import MARKER, Redactor

CARD = "4111111111111111"


def with_modes(policy: RedactionPolicy, *, hmac_key: bytes | None = None, **modes: str) -> Redactor:
    return Redactor(policy.replace(modes={**policy.modes, **modes}), hmac_key=hmac_key)


def test_mask_names_the_rule_and_counts_it(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    assert redactor.text(f"card {CARD} of {CARD}", tally) == "card [redacted:pan] of [redacted:pan]"
    assert tally == {"pan": 2}


def test_remove_drops_attributes_and_masks_in_texts(policy: RedactionPolicy) -> None:
    redactor = with_modes(policy, password="remove", pan="remove")
    assert redactor.attributes({"password": "x1", "kept": f"a {CARD}"}) == {"kept": "a [redacted:pan]"}
    assert redactor.attributes({"list": [{"password": "x1", "n": 1}]}) == {"list": [{"n": 1}]}
    assert redactor.value("password", "x1") is None


def test_last4_shows_the_last_four_of_a_card_and_nothing_of_short_values(policy: RedactionPolicy) -> None:
    redactor = with_modes(policy, pan="last4")
    assert redactor.text("4111 1111 1111 1234 no, 5555 5555 5555 4444 yes").endswith(
        "[redacted:pan:*4444] yes"
    )
    assert redactor.attributes({"card_number": CARD}) == {"card_number": "[redacted:pan:*1111]"}
    assert redactor.attributes({"card_number": "12345678"}) == {"card_number": "[redacted:pan]"}


@pytest.mark.parametrize(("rule", "key"), [("cvv", "cvv"), ("pin", "pin"), ("track", "track2")])
@pytest.mark.parametrize("mode", ["last4", "hmac", "off", "range"])
def test_authentication_data_is_masked_in_every_mode(
    policy: RedactionPolicy, rule: str, key: str, mode: str
) -> None:
    redactor = with_modes(policy, hmac_key=b"k", **{rule: mode})
    assert redactor.attributes({key: "123456789012"}) == {key: f"[redacted:{rule}]"}


def test_hmac_is_stable_per_value_keyed_and_the_same_for_every_spelling(policy: RedactionPolicy) -> None:
    redactor = with_modes(policy, hmac_key=b"secret key", pan="hmac")
    shown = redactor.text(CARD)
    digest = hmac.new(b"secret key", CARD.encode(), hashlib.sha256).hexdigest()[:16]
    assert (
        shown == f"[redacted:pan:~{digest.translate(str.maketrans('0123456789abcdef', 'abcdefghijklmnop'))}]"
    )
    assert redactor.text("4111 1111 1111 1111") == shown
    assert redactor.text("5555555555554444") != shown
    assert with_modes(policy, hmac_key=b"other key", pan="hmac").text(CARD) != shown


def test_hmac_without_a_key_masks(policy: RedactionPolicy) -> None:
    assert with_modes(policy, pan="hmac").text(CARD) == "[redacted:pan]"


def test_the_hmac_key_comes_from_the_environment(
    policy: RedactionPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashing = policy.replace(modes={**policy.modes, "pan": "hmac"})
    monkeypatch.setenv("MITA_OTEL_HMAC_KEY", "secret key")
    assert Redactor(hashing).text(CARD) == Redactor(hashing, hmac_key=b"secret key").text(CARD)
    assert Redactor(hashing, hmac_key=b"").text(CARD) == "[redacted:pan]"
    monkeypatch.delenv("MITA_OTEL_HMAC_KEY")
    assert Redactor(hashing).text(CARD) == "[redacted:pan]"


@pytest.mark.parametrize(
    ("amount", "shown"), [(1250.75, "<=10^4"), (0.5, "<=10^0"), (1000, "<=10^3"), ("99.90", "<=10^2")]
)
def test_range_shows_the_power_of_ten_of_an_amount(policy: RedactionPolicy, amount: Any, shown: str) -> None:
    redactor = with_modes(policy, amount="range")
    assert redactor.attributes({"mita.amount": amount}) == {"mita.amount": f"[redacted:amount:{shown}]"}


def test_amounts_are_shown_by_default(redactor: Redactor) -> None:
    assert redactor.attributes({"mita.amount": 1250.75, "balance": 3}) == {
        "mita.amount": 1250.75,
        "balance": 3,
    }


@pytest.mark.parametrize(
    ("rule", "text", "hidden"),
    [
        ("email", "mail bob.smith+x@example.test now", "mail [redacted:email] now"),
        (
            "ip",
            "from 203.0.113.7 to 2001:db8::1 at 10:30:45",
            "from [redacted:ip] to [redacted:ip] at 10:30:45",
        ),
    ],
)
def test_personal_data_is_redacted_only_by_policy(
    policy: RedactionPolicy, redactor: Redactor, rule: str, text: str, hidden: str
) -> None:
    assert redactor.text(text) == text
    modes: dict[str, Any] = {rule: "mask"}
    assert with_modes(policy, **modes).text(text) == hidden


def test_off_disables_a_rule(policy: RedactionPolicy) -> None:
    redactor = with_modes(policy, iban="off")
    assert redactor.attributes({"iban": "DE89370400440532013000"}) == {"iban": "DE89370400440532013000"}


@pytest.mark.parametrize("text", [f"[redacted:{CARD}]", f"[redacted:pan:*{CARD}]", f"[redacted:pan:~{CARD}]"])
def test_a_secret_in_a_forged_marker_is_redacted(redactor: Redactor, text: str) -> None:
    assert CARD not in redactor.text(text)


def test_every_marker_is_recognised(policy: RedactionPolicy) -> None:
    modes = {"pan": "hmac", "iban": "last4", "amount": "range"}
    redactor = with_modes(policy, hmac_key=b"k", **modes)
    safe = redactor.attributes({"a": CARD, "b": "DE89370400440532013000", "amount": 5, "password": "x1"})
    assert all(MARKER.fullmatch(value) for value in safe.values())
    assert redactor.attributes(safe) == safe
