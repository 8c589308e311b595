"""Counts with units; untrusted text cannot move a terminal's cursor, forge a line, or start a formula."""

from __future__ import annotations

import json
import sys
import unicodedata

import pytest

from mita_otel._text import counted, escape_formula, json_text, spreadsheet_cell, visible, visible_lines

_EVERY = map(chr, range(sys.maxunicode + 1))
# Every character that does something, and each thousandth of the million that is unassigned or private.
HOSTILE = [
    one
    for one in _EVERY
    if not one.isprintable()
    and one != "\n"
    and (unicodedata.category(one) not in {"Cn", "Co"} or ord(one) % 1000 == 0)
]


def test_every_control_and_invisible_character_is_escaped() -> None:
    text = "".join(HOSTILE)
    assert "\x1b" in text
    assert "\u202e" in text
    for safe in (visible(text), visible_lines(text), json_text([text]), spreadsheet_cell(text)):
        assert safe.isprintable()
    assert json.loads(json_text(HOSTILE)) == HOSTILE
    assert visible("a\nb") == r"a\nb"
    assert visible_lines("a\nb\x9b") == "a\nb\\x9b"
    assert visible("é 漢 €") == "é 漢 €"


@pytest.mark.parametrize(
    "text",
    ["=1+1", "+1", "-1+1", "@SUM(A1)", "\t=1", "\r=1", "|cmd", "%0a=1", "＝1", " =1", '"=1', "\n=1", "  @A1"],
)
def test_a_formula_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text).startswith(f"'{text[0]}")
    assert escape_formula(f"a{text}") == f"a{text}" or "\t" in text


@pytest.mark.parametrize("separator", [";", "\t"])
def test_a_formula_behind_another_separator_gets_an_apostrophe(separator: str) -> None:
    assert escape_formula(f"a{separator}=1+1") == f"a{separator}'=1+1"
    assert escape_formula("a; b") == "a; b"


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 chains"), (1, "1 chain"), (2, "2 chains"), (12_345, "12,345 chains")]
)
def test_a_count_has_a_singular_or_plural_unit(count: int, words: str) -> None:
    assert counted(count, "chain") == words


def test_an_irregular_plural_can_be_given() -> None:
    assert (counted(1, "entry", "entries"), counted(2_000, "entry", "entries")) == (
        "1 entry",
        "2,000 entries",
    )
