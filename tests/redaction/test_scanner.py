"""The scanner runs the finders and combines their hits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import partial

import pytest
from benchmarks.redaction_corpus import cases

from mita_otel.policy.redaction import Mode, RedactionPolicy
from mita_otel.redaction import Redactor
from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.marker import Markers
from mita_otel.redaction.scanner import Scanner

TEXT = "0123456789abcdefghij"


def _find(hit: Hit, text: str) -> list[Hit]:
    return [hit]


def scanner(*hits: Hit, modes: dict[str, Mode] | None = None) -> Scanner:
    """Return a scanner with one finder for each hit."""
    return Scanner([Finder(partial(_find, hit)) for hit in hits], Markers(modes or {}))


@pytest.mark.parametrize(
    ("found", "merged"),
    [
        ([Hit(0, 4, "pan"), Hit(4, 8, "iban")], [Hit(0, 8, "pan")]),
        ([Hit(0, 4, "pan"), Hit(2, 9, "iban")], [Hit(0, 9, "iban")]),
        ([Hit(0, 9, "pan"), Hit(2, 4, "iban")], [Hit(0, 9, "pan")]),
        ([Hit(0, 2, "pan"), Hit(2, 5, "iban"), Hit(5, 9, "jwt")], [Hit(0, 9, "jwt")]),
        ([Hit(0, 2, "pan"), Hit(2, 9, "iban"), Hit(9, 13, "jwt")], [Hit(0, 13, "iban")]),
        ([Hit(5, 9, "jwt"), Hit(0, 5, "iban")], [Hit(0, 9, "iban")]),
        ([Hit(0, 4, "pan"), Hit(5, 9, "iban")], [Hit(0, 4, "pan"), Hit(5, 9, "iban")]),
        ([Hit(0, 4, "pan"), Hit(0, 4, "pan")], [Hit(0, 4, "pan")]),
    ],
)
def test_adjacent_and_overlapping_hits_merge_under_the_longest_rule(
    found: list[Hit], merged: list[Hit]
) -> None:
    assert scanner(*found).hits(TEXT) == merged
    assert scanner(*reversed(found)).hits(TEXT) == merged


def test_touching_hits_get_one_marker_and_count_once() -> None:
    tally: Counter[str] = Counter()
    found = scanner(Hit(2, 6, "pan"), Hit(6, 8, "iban"))
    assert found.replace(TEXT, tally) == "01[redacted:pan]89abcdefghij"
    assert tally == {"pan": 1}


@pytest.mark.parametrize("vague", ["account", "card", "key", "secret"])
@pytest.mark.parametrize("specific", ["aaa", "zzz"])
def test_of_two_hits_of_equal_length_the_specific_rule_applies(vague: str, specific: str) -> None:
    assert scanner(Hit(0, 8, vague), Hit(0, 8, specific)).hits(TEXT) == [Hit(0, 8, specific)]


def test_of_two_specific_hits_of_equal_length_the_first_rule_applies() -> None:
    assert scanner(Hit(0, 4, "pan"), Hit(4, 8, "iban")).hits(TEXT) == [Hit(0, 8, "pan")]
    assert scanner(Hit(0, 4, "iban"), Hit(4, 8, "pan")).hits(TEXT) == [Hit(0, 8, "iban")]


@pytest.mark.parametrize("rule", ["cvv", "pin", "track"])
def test_authentication_data_keeps_its_rule_in_any_longer_hit(rule: str) -> None:
    """Another rule's mode may show part of the value; PCI DSS forbids that for these three."""
    modes: dict[str, Mode] = {"pan": "last4"}
    inside = scanner(Hit(0, 16, "pan"), Hit(12, 15, rule), modes=modes)
    assert inside.hits(TEXT) == [Hit(0, 16, rule)]
    before = scanner(Hit(0, 3, rule), Hit(3, 19, "pan"), modes=modes)
    assert before.hits(TEXT) == [Hit(0, 19, rule)]
    assert "789" not in before.replace(TEXT, Counter())


def test_hits_of_a_disabled_rule_do_not_widen_others() -> None:
    found = scanner(Hit(0, 4, "pan"), Hit(4, 8, "email"), modes={"email": "off"})
    assert found.hits(TEXT) == [Hit(0, 4, "pan")]


def test_empty_hits_are_ignored() -> None:
    assert scanner(Hit(3, 3, "pan")).hits(TEXT) == []


def called(**requirements: object) -> tuple[Scanner, list[str]]:
    """Return a scanner with one finder, and the list of texts passed to the finder."""
    texts: list[str] = []

    def find(text: str) -> Iterator[Hit]:
        texts.append(text)
        yield from ()

    return Scanner([Finder(find, **requirements)], Markers({})), texts  # type: ignore[arg-type]


def test_a_finder_is_called_only_for_texts_with_its_words_and_digits() -> None:
    one, texts = called(words=("card",), digits=1)
    for text in ("card without", "12 without the word", "CARD 12"):
        one.hits(text)
    assert texts == ["CARD 12"]


def test_a_finder_is_called_only_for_texts_with_its_digits_and_signs() -> None:
    one, texts = called(digits=3, signs="=:")
    for text in ("12 =", "123 without a sign", "1 2 = 3", "123:"):
        one.hits(text)
    assert texts == ["1 2 = 3", "123:"]


def test_the_requirements_of_finders_lose_no_hit_of_the_corpus(policy: RedactionPolicy) -> None:
    """Compare the optimised scanner with a naive one that calls every finder for every text."""
    optimised = Redactor(policy).compile().natural_language
    finders = [Finder(find) for _, _, _, finds in optimised._groups for find in finds]
    naive = Scanner(finders, optimised._markers)
    texts = [case.value for case in cases() if isinstance(case.value, str)]
    assert len(texts) > 1000
    assert [text for text in texts if optimised.hits(text) != naive.hits(text)] == []
