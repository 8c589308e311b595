"""Custom rules of a team: names, patterns, callables; and refused patterns."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

import pytest

from mita_otel.errors import ConfigurationError
from mita_otel.policy import PolicyError
from mita_otel.policy.conversion import convert
from mita_otel.policy.redaction import RedactionPolicy, check_pattern
from mita_otel.redaction import Redactor
from mita_otel.redaction.finders import custom


def with_rule(policy: RedactionPolicy, **rule: Any) -> Redactor:
    return Redactor(convert(RedactionPolicy, {**policy.to_dict(), "custom": {"member": rule}}))


def test_a_pattern_finds_its_values_anywhere(policy: RedactionPolicy) -> None:
    redactor = with_rule(policy, pattern=r"MBR-\d{6}")
    assert redactor.text("member MBR-123456 left") == "member [redacted:member] left"
    assert redactor.attributes({"a": [{"b": "MBR-123456"}]}) == {"a": [{"b": "[redacted:member]"}]}


def test_names_are_matched_by_words(policy: RedactionPolicy) -> None:
    assert with_rule(policy, keys=["badge_no"]).attributes({"badgeNo": "7", "badge": 1}) == {
        "badgeNo": "[redacted:member]",
        "badge": 1,
    }


def test_values_of_an_allowed_name_are_still_scanned(policy: RedactionPolicy) -> None:
    keys = policy.keys.replace(allow=("session.token",))
    redactor = Redactor(policy.replace(keys=keys))
    assert redactor.attributes({"session.token": "abc"}) == {"session.token": "abc"}
    assert redactor.attributes({"session.token": "4111111111111111"}) == {"session.token": "[redacted:pan]"}


def find_bees(text: str) -> list[tuple[int, int]]:
    if "boom" in text:
        raise RuntimeError(text)
    return [(index, index + 1) for index, char in enumerate(text) if char == "b"]


def test_a_finder_from_an_entry_point_is_called_and_fails_closed(
    policy: RedactionPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = EntryPoint("bees", f"{__name__}:find_bees", custom.ENTRY_POINT_GROUP)
    monkeypatch.setattr(EntryPoint, "load", lambda self: find_bees)
    monkeypatch.setattr(custom, "entry_points", lambda **wanted: [entry] if wanted["name"] == "bees" else [])
    redactor = with_rule(policy, finder="bees")
    assert redactor.text("a bee") == "a [redacted:member]ee"
    assert redactor.text("boom") == "[redacted:error]"


def test_a_missing_entry_point_is_an_error_with_its_rule(policy: RedactionPolicy) -> None:
    with pytest.raises(ConfigurationError, match=r"redaction\.custom\.member.*'absent'.*mita_otel_finder"):
        with_rule(policy, finder="absent")


@pytest.mark.parametrize(
    ("value", "said"),
    [("no.such.module:find", "no.such.module:find cannot be imported"), ("re:IGNORECASE", "is not callable")],
)
def test_an_unusable_entry_point_is_an_error_with_its_rule(
    policy: RedactionPolicy, monkeypatch: pytest.MonkeyPatch, value: str, said: str
) -> None:
    entry = EntryPoint("bees", value, custom.ENTRY_POINT_GROUP)
    monkeypatch.setattr(custom, "entry_points", lambda **wanted: [entry])
    with pytest.raises(ConfigurationError, match=rf"redaction\.custom\.member.*{said}"):
        with_rule(policy, finder="bees")


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        (r"(a+)+b", "repeats a repeat"),
        (r"(?:a|ab)+c", "repeats a choice"),
        (r"(\w{1,10}){1,10}x", "repeats a repeat"),
        (r"\w+@\w+", "without an upper bound"),
        (r".*secret", "without an upper bound"),
        (r"(a)\1", "refers back"),
        (r"\d*", "matches nothing at all"),
        (r"[a-", "not a regular expression"),
        (r"\w{1,99}x\w{1,99}y", "ways from one place"),
        ("x" * 600, "600 characters"),
    ],
)
def test_a_pattern_with_exponential_runtime_is_refused_with_the_reason(
    policy: RedactionPolicy, pattern: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=reason):
        check_pattern(pattern)
    with pytest.raises(PolicyError, match=reason):
        with_rule(policy, pattern=pattern)


@pytest.mark.parametrize(
    "pattern",
    [r"MBR-\d{6}", r"EMP\d+", r"(?:AB|CD)-\d{1,8}", r"(?i)\bref[ -]?\d{4}\b", r"(?<!\d)\d{7}(?!\d)"],
)
def test_a_safe_pattern_is_accepted(pattern: str) -> None:
    assert check_pattern(pattern) == pattern
