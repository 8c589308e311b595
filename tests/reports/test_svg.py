"""Plots have round axes, interrupt lines at gaps, and stay in their frame."""

from __future__ import annotations

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markupsafe import Markup

from mita_otel.reports.svg import HEIGHT, WIDTH, Line, Stack, bar, columns, lines, scale


@pytest.mark.parametrize(
    ("largest", "expected"),
    [
        (0, [0, 1]),
        (1000, [0, 250, 500, 750, 1000]),
        (1001, [0, 500, 1000, 1500]),
        (0.3, [0, 0.1, 0.2, 0.3]),
        (7, [0, 2, 4, 6, 8]),
    ],
)
def test_an_axis_is_round(largest: float, expected: list[float]) -> None:
    assert scale(largest) == pytest.approx(expected)


@given(st.floats(1e-6, 1e12))
def test_an_axis_covers_the_largest_value_in_few_steps(largest: float) -> None:
    axis = scale(largest)
    assert axis[-1] >= largest * (1 - 1e-6)
    assert 2 <= len(axis) <= 6


@given(st.integers(1, 10**9))
def test_an_axis_of_counts_has_whole_numbers(largest: int) -> None:
    axis = scale(largest, whole=True)
    assert all(value == int(value) for value in axis)
    assert axis[-1] >= largest * (1 - 1e-9)


def test_a_line_is_interrupted_at_a_gap_and_a_single_point_is_visible() -> None:
    drawn = lines([Line("p50", [1, 2, None, 3], ["a", "b", "", "c"])], [2.5], [0, 2, 4])
    runs = re.findall(r'<polyline class="line p50" points="([^"]+)"', drawn)
    assert [len(run.split()) for run in runs] == [2, 2]
    assert drawn.count('class="limit"') == 1
    assert drawn.count("<title>") == 3


@example([[0.0, 0.0, 5e-324]])
@given(st.lists(st.lists(st.floats(0, 1e6), min_size=3, max_size=3), min_size=1, max_size=4))
def test_columns_stay_in_their_frame(values: list[list[float]]) -> None:
    largest = max(map(sum, zip(*values, strict=True)))
    drawn = columns([Stack("high", one, ["", "", ""]) for one in values], scale(largest))
    for x, y, width, height in re.findall(
        r'x="([\d.-]+)" y="([\d.-]+)" width="([\d.-]+)" height="([\d.-]+)"', drawn
    ):
        assert 0 <= float(x) <= float(x) + float(width) <= WIDTH
        assert -2 <= float(y) <= HEIGHT
        assert float(y) + float(height) <= HEIGHT + 2


def test_titles_are_escaped() -> None:
    assert "<script>" not in bar([("high", 0.5, "<script>")])
    assert isinstance(columns([Stack("high", [1], ["<script>"])], [0, 1]), Markup)
    assert "<script>" not in columns([Stack("high", [1], ["<script>"])], [0, 1])
