"""The model describes itself: every setting has a description, a type and a default."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest

from mita_otel.policy import default_policy
from mita_otel.policy.errors import example_of, wanted
from mita_otel.policy.model import Policy
from mita_otel.policy.overrides import spelling_of
from mita_otel.policy.schema import kind_at, known_keys, settings
from mita_otel.policy.section import Bounds, PositiveInt
from mita_otel.policy.toml_text import KeyPath, read_key, write_key

SETTINGS = list(settings(Policy))


@pytest.mark.parametrize(
    ("key", "description"), [(key, text) for key, _, text in SETTINGS], ids=lambda one: str(one)[:40]
)
def test_every_setting_is_described(key: KeyPath, description: str) -> None:
    assert description.strip(), f"{write_key(key)} has no attribute docstring"
    assert description.endswith((".", ")")), description


@pytest.mark.parametrize(
    ("key", "kind"), [(key, kind) for key, kind, _ in SETTINGS], ids=lambda one: str(one)[:40]
)
def test_every_setting_has_a_described_type_and_an_example(key: KeyPath, kind: Any) -> None:
    assert "object at" not in wanted(kind)
    assert example_of(key, kind, None)


def test_every_setting_has_a_default() -> None:
    defaults = default_policy().to_dict()
    for key, _, _ in SETTINGS:
        node = defaults
        for part in key:
            assert part in node, write_key(key)
            node = node[part]


def test_the_policy_cannot_be_changed() -> None:
    with pytest.raises(AttributeError, match=r"SentryPolicy is immutable; use replace\(max_spans=...\)"):
        default_policy().sentry.max_spans = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (bool, "true or false"),
        (int, "a whole number"),
        (PositiveInt, "a whole number above 0"),
        (Annotated[int, Bounds(ge=1, le=9)], "a whole number that is at least 1 and at most 9"),
        (Annotated[float, Bounds(gt=0, lt=1)], "a number above 0 and below 1"),
        (Annotated[float, Bounds(gt=0, unit="milliseconds")] | Literal["off"],
         'a number of milliseconds above 0, or "off"'),
        (str, "a text"),
        (str | None, "a text"),
        (Annotated[str, Bounds(min_length=1, max_length=5)], "a text of 1 or more characters and of up to 5 characters"),
        (Annotated[str, Bounds(pattern="^a$")], "a text that matches ^a$"),
        (Literal["a", "b", "c"], 'one of "a", "b" or "c"'),
        (tuple[str, ...], "a list of texts"),
        (tuple[int, ...], "a list of numbers"),
        (tuple[Policy, ...], "a list of tables"),
        (dict[str, int], "a table"),
        (Policy, "a table"),
    ],
)  # fmt: skip
def test_each_type_has_a_description(kind: Any, words: str) -> None:
    assert wanted(kind) == words


def test_types_are_found_in_tables_free_names_and_lists() -> None:
    assert wanted(kind_at(Policy, read_key("thresholds.api.financial.PATCH.segments.7"))) == "a text"
    assert wanted(kind_at(Policy, read_key("redaction.custom.member.pattern"))) == "a text"
    assert kind_at(Policy, read_key("thresholds.api.nothing")) is None
    assert kind_at(Policy, read_key("thresholds.enabled.deeper")) is None
    assert kind_at(Policy, read_key("export.traces.first")) is None


def test_the_keys_of_a_table_are_known() -> None:
    assert known_keys(Policy, read_key("thresholds.api.financial.GET")) == ["limit_ms", "segments"]
    assert known_keys(Policy, read_key("thresholds.database")) == []
    assert known_keys(Policy, read_key("no.such")) == []


def test_the_case_of_keys_follows_the_policy() -> None:
    defaults = {"thresholds": {"database": {"SELECT": 1}}}
    spelled = ("thresholds", "database", "SELECT")
    assert spelling_of(Policy, defaults, ("Thresholds", "DATABASE", "select")) == spelled
    assert spelling_of(Policy, defaults, ("NO", "Such")) == ("no", "such")
