"""JSON for any value."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel._json import json_bytes


class Odd:
    def __str__(self) -> str:
        return "odd\ud800"


def nested(depth: int) -> Any:
    value: Any = "core"
    for _ in range(depth):
        value = [value]
    return value


ODD: dict[str, tuple[Any, Any]] = {
    "lone surrogate": ({"a": "x\ud800y"}, {"a": "x?y"}),
    "surrogate in a key": ({"\udfff": 1}, {"?": 1}),
    "huge integer": ([2**64, -(2**64)], [str(2**64), str(-(2**64))]),
    "64 bits": ([2**64 - 1, -(2**63)], [2**64 - 1, -(2**63)]),
    "not a number": ([float("nan"), float("inf")], [None, None]),
    "another type": ({"a": Odd()}, {"a": "odd?"}),
    "set": ({"a": frozenset({1})}, {"a": [1]}),
    "keys of other types": ({5: "a", None: "b", True: "c"}, {"5": "a", "null": "b", "true": "c"}),
    "keys of unheard types": ({(1, 2): "a"}, {"(1, 2)": "a"}),
}


@pytest.mark.parametrize(("value", "expected"), ODD.values(), ids=ODD.keys())
def test_unusual_values_become_the_nearest_json_value(value: Any, expected: Any) -> None:
    assert json.loads(json_bytes(value)) == expected


@pytest.mark.parametrize("depth", [250, 1000, 5000])
def test_deep_nesting_is_truncated(depth: int) -> None:
    assert json_bytes(nested(depth)).startswith(b"[[[[")


def test_a_line_ends_with_a_line_break() -> None:
    assert json_bytes({"a": 1}, newline=True) == b'{"a":1}\n'
    assert json_bytes({"a": "\ud800"}, newline=True) == b'{"a":"?"}\n'


plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
)


@given(plain)
def test_json_values_are_kept_and_any_value_is_encoded(value: Any) -> None:
    json.loads(json_bytes(value))
