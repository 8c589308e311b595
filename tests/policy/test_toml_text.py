"""TOML as text: keys and values are read back as written, and each key has its line."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.policy.toml_text import KeyPath, places, read_key, write_key, write_value


def lines(text: str) -> dict[KeyPath, int]:
    tomllib.loads(text)
    return dict(places(text))


CASES: dict[str, tuple[str, dict[str, int]]] = {
    "a table and a key": ("[a.b]\n\nc = 1", {"a.b": 1, "a.b.c": 3}),
    "indented, with comments": ("  [a] # [b]\n  # c = 1\n  d = 2 # e = 3", {"a": 1, "a.d": 3}),
    "spaces in a header": ("[ a . \"b\" ]\nc=1", {"a.b": 1, "a.b.c": 2}),
    "dotted": ("a.b . c = 1\n[x]\ny.z = 2", {"a.b.c": 1, "x": 2, "x.y.z": 3}),
    "quoted": ('"a b" = 1\n\'c.d\'.e = 2\n"f\\"]" = 3', {'"a b"': 1, '"c.d".e': 2, '"f\\"]"': 3}),
    "quoted in a header": ('["a]b"."c.d"]\ne = 1', {'"a]b"."c.d"': 1, '"a]b"."c.d".e': 2}),
    "escapes in a key": ('"\\u0061" = 1', {"a": 1}),
    "an empty key": ('"" = 1', {'""': 1}),
    "inline table": ("a = { b = 1, c.d = { e = 2 } }", {"a": 1, "a.b": 1, "a.c.d": 1, "a.c.d.e": 1}),
    "array over lines": ("a = [\n 1, # one\n\n 2,\n]\nb = 3", {"a": 1, "a.0": 2, "a.1": 4, "b": 6}),
    "arrays in arrays": ("a = [[1,\n2], []]\nb = 1", {"a": 1, "a.0": 1, "a.0.0": 1, "a.0.1": 2, "a.1": 2, "b": 3}),
    "tables in an array": ("a = [\n{ b = 1 },\n{ b = 2 }]", {"a": 1, "a.0": 2, "a.0.b": 2, "a.1": 3, "a.1.b": 3}),
    "array of tables": (
        "[[r]]\na = 1\n[[r]]\n[r.s]\nb = 2\n[[r.t]]\nc = 3\n[[r.t]]\nc = 4\n[[r]]\n[[r.t]]\nc = 5",
        {
            "r.0": 1, "r.0.a": 2, "r.1": 3, "r.1.s": 4, "r.1.s.b": 5, "r.1.t.0": 6, "r.1.t.0.c": 7,
            "r.1.t.1": 8, "r.1.t.1.c": 9, "r.2": 10, "r.2.t.0": 11, "r.2.t.0.c": 12,
        },
    ),
    "a text that looks like headers": ('a = """\n[b]\nc = 1\n"""\nd = 2', {"a": 1, "d": 5}),
    "a raw text that looks like headers": ("a = '''\n[b]\n\\'''\nd = 2", {"a": 1, "d": 4}),
    "quotes at the end of a text": ('a = """x"""""\nb = 1', {"a": 1, "b": 2}),
    "escaped quotes in a text": ('a = """\\"""\nb = 1\n"""\nc = "\\"#"\nd = 1', {"a": 1, "c": 4, "d": 5}),
    "hash and brackets in a text": ("a = '#]' # ]\nb = \"[#\"\nc = 1", {"a": 1, "b": 2, "c": 3}),
    "array that looks like a header": ("a = [\n[\n1]\n]\nb = 1", {"a": 1, "a.0": 2, "a.0.0": 3, "b": 5}),
    "dates and floats": ("a = 1979-05-27 07:32:00\nb = -1.5e3\nc = 0xf", {"a": 1, "b": 2, "c": 3}),
    "no line end": ("a = 1", {"a": 1}),
    "nothing": ("# nothing\n", {}),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CASES.values(), ids=CASES.keys())
def test_each_key_has_its_line(text: str, expected: dict[str, int]) -> None:
    assert {write_key(key): line for key, line in lines(text).items()} == expected


NAMES = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=5)
SCALARS = st.one_of(
    st.integers(-9, 9), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), NAMES,
    st.sampled_from(["[a]", "a = 1", '"""', "# x", "\n[b]\nc = 1\n"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def _keys(node: Any, key: KeyPath = ()) -> set[KeyPath]:
    members = node if isinstance(node, dict) else dict(enumerate(node)) if isinstance(node, list) else {}
    below = [_keys(one, (*key, str(name))) for name, one in members.items()]
    return {(*key, str(name)) for name in members}.union(*below)


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_each_key_of_any_document_is_found_with_its_line(document: dict[str, Any]) -> None:
    text = "".join(f"\n\n{write_key((name,))} = {write_value(value)}" for name, value in document.items())
    found = lines(text)
    assert set(found) == _keys(tomllib.loads(text))
    assert [found[(name,)] for name in document] == [3 + 2 * number for number in range(len(document))]


@pytest.mark.parametrize(
    "text", ["a = 1\n[b", "a = 1\nb", "a = 1\n= 2", 'a = 1\n"b = 2', "a = 1\nb = [1,, 2]", "a = 1\nb = {,}", 'a = 1\n"\\q" = 1']
)  # fmt: skip
def test_keys_before_a_syntax_error_have_correct_lines(text: str) -> None:
    found = list(places(text))
    assert found[0] == (("a",), 1)
    assert all(line <= 2 for _, line in found)


TEXTS = st.text(st.characters(codec="utf-8"))
TOML_VALUES = st.recursive(
    TEXTS | st.booleans() | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=10,
)


@given(TOML_VALUES)
def test_a_written_value_is_read_back(value: Any) -> None:
    assert tomllib.loads(f"value = {write_value(value)}")["value"] == value


@given(st.lists(TEXTS, min_size=1).map(tuple))
def test_a_written_key_is_read_back(key: tuple[str, ...]) -> None:
    assert read_key(write_key(key)) == key


@pytest.mark.parametrize(
    ("value", "text"),
    [(500.0, "500"), (0.5, "0.5"), (True, "true"), ("off", '"off"'), (("a", "b"), '["a", "b"]'), ({}, "{}")],
)
def test_values_are_written_in_natural_toml(value: object, text: str) -> None:
    assert write_value(value) == text


def test_only_key_parts_that_need_quotes_are_quoted() -> None:
    assert write_key(("thresholds", "api", "routes", "POST /x")) == 'thresholds.api.routes."POST /x"'


@pytest.mark.parametrize("dotted", ["", "a..b", "a = 1\nb", ".a", 'a."b', "a b", "a\nb"])
def test_an_invalid_key_is_refused(dotted: str) -> None:
    with pytest.raises(ValueError, match="is not a key"):
        read_key(dotted)
