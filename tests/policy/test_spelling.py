"""Keys and values as TOML spells them: what is written can be read again."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.policy.spelling import read_key, write_key, write_value

TEXTS = st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


@given(VALUES)
def test_a_value_that_is_written_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"value = {write_value(value)}")["value"] == value


@given(st.lists(TEXTS, min_size=1).map(tuple))
def test_a_key_that_is_written_is_read_back(key: tuple[str, ...]) -> None:
    assert read_key(write_key(key)) == key


@pytest.mark.parametrize(
    ("value", "text"),
    [(500.0, "500"), (0.5, "0.5"), (True, "true"), ("off", '"off"'), (("a", "b"), '["a", "b"]'), ({}, "{}")],
)
def test_values_look_as_a_person_writes_them(value: object, text: str) -> None:
    assert write_value(value) == text


def test_only_parts_that_need_quotes_get_them() -> None:
    assert write_key(("thresholds", "api", "routes", "POST /x")) == 'thresholds.api.routes."POST /x"'


@pytest.mark.parametrize("dotted", ["", "a..b", "a = 1\nb", ".a", 'a."b', "a b", "a\nb"])
def test_what_is_not_a_key_is_refused(dotted: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        read_key(dotted)
