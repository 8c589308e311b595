"""Redaction fails closed: values that exceed a bound, are unknown or raise are replaced and counted."""

from __future__ import annotations

import datetime as dt
import decimal
import enum
import importlib
import pkgutil
import re
import threading
import uuid
from collections import Counter
from typing import Any

import pytest

import mita_otel.redaction
from mita_otel.policy.redaction import RedactionPolicy
from mita_otel.redaction import Redactor
from mita_otel.redaction.scanner import Scanner

CARD = "4111111111111111"


def small(policy: RedactionPolicy, **bounds: Any) -> Redactor:
    return Redactor(policy.replace(**bounds))


def test_a_long_text_is_truncated_and_marked(policy: RedactionPolicy) -> None:
    tally: Counter[str] = Counter()
    assert small(policy, max_text=256).text("x" * 1000, tally) == "x" * 256 + "[redacted:length]"
    assert tally == {"length": 1}


@pytest.mark.parametrize("start", range(236, 260, 3))
def test_a_secret_at_the_truncation_is_redacted_completely(policy: RedactionPolicy, start: int) -> None:
    text = "x" * (start - 1) + " " + CARD + " " + "y" * 1000
    result = small(policy, max_text=256).text(text)
    assert CARD[:6] not in result


def test_a_long_statement_is_truncated(policy: RedactionPolicy) -> None:
    statement = "SELECT a FROM t WHERE b IN (" + "'hidden', " * 200 + "'hidden')"
    result = small(policy, max_text=256).sql(statement)
    assert "hidden" not in result
    assert result.endswith("[redacted:length]")


def test_values_nested_too_deeply_are_replaced(policy: RedactionPolicy) -> None:
    value: Any = "bottom"
    for _ in range(20):
        value = [value]
    tally: Counter[str] = Counter()
    result = small(policy, max_depth=5).attributes({"data": value}, tally)
    assert "bottom" not in repr(result)
    assert "[redacted:depth]" in repr(result)
    assert tally["depth"] == 1


def test_nested_json_strings_are_parsed_to_the_maximum_depth(policy: RedactionPolicy) -> None:
    assert "depth" in small(policy, max_depth=2).text('{"a": "{\\"b\\": \\"{\\\\\\"c\\\\\\": 1}\\"}"}')


def test_members_above_the_bound_are_dropped_and_counted(policy: RedactionPolicy) -> None:
    redactor, tally = small(policy, max_items=3), Counter[str]()
    assert redactor.attributes({"l": [1, 2, 3, 4, 5]}, tally) == {"l": [1, 2, 3]}
    assert tally["items"] == 2
    assert redactor.attributes(dict.fromkeys("abcde", 1)) == {"a": 1, "b": 1, "c": 1}


def test_a_value_of_an_unknown_type_is_replaced_and_the_others_are_kept(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    assert redactor.attributes({"odd": object(), "fine": 1}, tally) == {"odd": "[redacted:type]", "fine": 1}
    assert tally == {"type": 1}


class Hostile(str):
    __slots__ = ()

    def __str__(self) -> str:
        raise RuntimeError("no")


class HostileMapping(dict[str, Any]):
    def items(self) -> Any:
        raise RuntimeError("no")


def test_a_value_that_raises_is_replaced_and_the_others_are_kept(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    result = redactor.attributes({"bad": HostileMapping(a=CARD), "fine": 1}, tally)
    assert CARD not in repr(result)
    assert 1 in result.values()
    assert tally["error"] == 1


def test_attributes_that_raise_become_empty(redactor: Redactor) -> None:
    tally: Counter[str] = Counter()
    assert redactor.attributes(HostileMapping(a=CARD), tally) == {}
    assert redactor.event(HostileMapping(a=CARD), tally) == {}
    assert tally["error"] == 2


def test_a_text_on_which_a_finder_raises_is_replaced(
    policy: RedactionPolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(self: Scanner, text: str) -> Any:
        raise RuntimeError(text)

    redactor = Redactor(policy)
    monkeypatch.setattr(Scanner, "hits", explode)
    assert redactor.text("card " + CARD) == "[redacted:error]"
    assert redactor.sql("SELECT 1") == "[redacted:error]"
    assert redactor.url("http://x/") == "[redacted:error]"
    assert redactor.value("k", "v") == "[redacted:error]"


class Colour(enum.Enum):
    RED = "red"


@pytest.mark.parametrize(
    "value",
    [
        dt.datetime(2024, 1, 15, tzinfo=dt.UTC),
        dt.date(2024, 1, 15),
        dt.timedelta(seconds=3),
        uuid.UUID("9f8b7c6d-1e2f-4a3b-8c4d-5e6f7a8b9c0d"),
        decimal.Decimal("12.50"),
        Colour.RED,
        (1, 2.5, "a"),
        b"bytes",
        float("inf"),
        2**63 - 1,
        -(2**63),
        decimal.Decimal("1e400"),
    ],
)
def test_common_types_are_returned_unchanged(redactor: Redactor, value: Any) -> None:
    result = redactor.attributes({"v": value})["v"]
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    ("number", "sent"),
    [(2**63, "9223372036854775808"), (-(10**30), "-1" + "0" * 30), (10**5000, "[redacted:number]")],
    ids=["just too large", "negative", "huge"],
)
def test_an_integer_that_no_exporter_can_encode_becomes_text(
    redactor: Redactor, number: int, sent: str
) -> None:
    assert redactor.attributes({"n": number, "list": [number], "fine": 1}) == {
        "n": sent,
        "list": [sent],
        "fine": 1,
    }


def test_nan_is_returned_unchanged(redactor: Redactor) -> None:
    assert (
        repr(redactor.attributes({"v": [float("nan"), decimal.Decimal("NaN")]}))
        == "{'v': [nan, Decimal('NaN')]}"
    )


def test_a_disabled_policy_changes_nothing(policy: RedactionPolicy) -> None:
    redactor = small(policy, enabled=False)
    assert redactor.attributes({"password": CARD}) == {"password": CARD}
    assert redactor.text(CARD) == CARD
    assert redactor.sql("SELECT 'x'") == "SELECT 'x'"


def test_threads_share_one_redactor(policy: RedactionPolicy) -> None:
    redactor, leaks = small(policy, max_cached=8), []

    def work(seed: int) -> None:
        for index in range(150):
            safe = redactor.attributes(
                {f"k{index % 20}": f"text {seed} {index % 13}", "n": f"card {CARD} {index}"}
            )
            if CARD in repr(safe) or safe[f"k{index % 20}"] != f"text {seed} {index % 13}":
                leaks.append(safe)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert leaks == []


def test_caches_are_bounded_and_contain_no_secret(policy: RedactionPolicy) -> None:
    redactor = small(policy, max_cached=16)
    for index in range(500):
        redactor.attributes(
            {
                "n": f"card {CARD} {index}",
                f"name{index}": f"benign {index}",
                "db.statement": f"SELECT '{CARD}{index}'",
            }
        )
    remembered = redactor.compile().values._benign
    assert len(remembered) <= 32
    assert CARD not in repr(vars(remembered))
    assert CARD not in repr(vars(redactor.compile().values._statements))


ADVERSARIAL = [
    "a", "=", "password=", "eyJa.", "\\", "\\\"", "'", "/*", "4111 ", "[SQL: ", "cookie: ", "Key (a)=(", "<a", "((", "a[b",
    "://a:", "%34", "[redacted:pan]password=a ", "Duplicate entry '", "input_value=", "{\"a\":", "12 34 ",
]  # fmt: skip


@pytest.mark.parametrize("unit", ADVERSARIAL)
def test_a_long_hostile_text_is_redacted_in_linear_time(policy: RedactionPolicy, unit: str) -> None:
    """Quadratic runtime would be hours, linear runtime a fraction of a second."""
    redactor = small(policy, max_text=1_000_000, max_cached=0)
    text = unit * (60_000 // len(unit))
    assert isinstance(redactor.text(text), str)
    assert isinstance(redactor.sql(text), str)


REVIEWED = {"sql", "driver_messages", "key_value", "tables"}
"""Modules with nested repeats whose parts match distinct characters, so there is only one match."""


def has_nested_repeat(nodes: Any, *, repeated: bool = False) -> bool:
    for code, argument in nodes:
        name = str(code)
        inside = repeated
        parts: list[Any] = []
        if name in ("MAX_REPEAT", "MIN_REPEAT"):
            unbounded = argument[1] > 4096
            if repeated and unbounded:
                return True
            inside, parts = repeated or unbounded, [argument[2]]
        elif name == "SUBPATTERN":
            parts = [argument[-1]]
        elif name == "BRANCH":
            parts = argument[1]
        if any(has_nested_repeat(part, repeated=inside) for part in parts):
            return True
    return False


def test_nested_repeats_occur_only_in_patterns_of_reviewed_modules() -> None:
    parser = importlib.import_module("re._parser")
    checked = 0
    for module in pkgutil.walk_packages(mita_otel.redaction.__path__, "mita_otel.redaction."):
        found = vars(importlib.import_module(module.name)).values()
        patterns = [value for value in found if isinstance(value, re.Pattern)]
        for pattern in patterns if module.name.rpartition(".")[2] not in REVIEWED else ():
            checked += 1
            assert not has_nested_repeat(parser.parse(pattern.pattern, pattern.flags)), pattern.pattern
    assert checked > 60
