"""Percentiles are within the stated error on any distribution, merged or not."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mita_otel.latency.sketch import Sketch, merged

PERCENTILES = (0, 1, 25, 50, 75, 90, 95, 99, 99.9, 100)


def exact(values: Sequence[float], percentile: float) -> float:
    """Return the percentile by nearest rank."""
    return sorted(values)[max(0, math.ceil(percentile * len(values) / 100) - 1)]


def sketch_of(values: Sequence[float], relative_error: float = 0.01) -> Sketch:
    sketch = Sketch(relative_error)
    for value in values:
        sketch.add(value)
    return sketch


def assert_close(sketch: Sketch, values: Sequence[float], relative_error: float) -> None:
    for percentile in PERCENTILES:
        estimate, true = sketch.percentile(percentile), exact(values, percentile)
        assert estimate is not None
        assert abs(estimate - true) <= relative_error * true * 1.0001, (percentile, estimate, true)


def _distributions() -> dict[str, list[float]]:
    chance = random.Random(2_026)
    return {
        "a typical request": [chance.lognormvariate(3, 0.7) for _ in range(20_000)],
        "a heavy tail": [5 * chance.paretovariate(1.1) for _ in range(20_000)],
        "two humps: cache hit and miss": [
            abs(chance.gauss(2, 0.3) if chance.random() < 0.8 else chance.gauss(180, 25)) + 0.01
            for _ in range(20_000)
        ],
        "one value": [42.0] * 1000,
        "microseconds to hours": [10 ** chance.uniform(-3, 7) for _ in range(20_000)],
        "a few": [3.0, 1.0, 2.0],
        **_recorded(),
    }


def _recorded() -> dict[str, list[float]]:
    """Return durations of the example, recorded while its demo ran."""
    recorded = json.loads(Path(__file__).with_name("recorded_durations.json").read_text())
    return {
        f"recorded {what}": [max(us, 1) / 1000 for us in recorded[what]]
        for what in ("requests", "statements")
    }


@pytest.mark.parametrize("relative_error", [0.005, 0.01, 0.05])
@pytest.mark.parametrize(("name", "values"), _distributions().items(), ids=list(_distributions()))
def test_percentiles_are_within_the_stated_error_of_the_exact_ones(
    name: str, values: list[float], relative_error: float
) -> None:
    assert_close(sketch_of(values, relative_error), values, relative_error)


@given(
    st.lists(st.floats(min_value=1e-6, max_value=1e8), min_size=1, max_size=300),
    st.integers(1, 10),
)
def test_merged_parts_equal_the_whole(values: list[float], parts: int) -> None:
    packed = [sketch_of(values[start::parts]).pack() for start in range(parts)]
    total = merged(packed, 0.01)
    whole = sketch_of(values)
    assert total.count == len(values)
    assert [total.percentile(one) for one in PERCENTILES] == [whole.percentile(one) for one in PERCENTILES]
    assert_close(total, values, 0.01)


@given(st.lists(st.floats(min_value=0, max_value=1e11), max_size=100))
@example([2.44820515975995e-304])
def test_an_unpacked_sketch_equals_the_packed_one(values: list[float]) -> None:
    sketch = sketch_of(values)
    again = Sketch.unpack(sketch.pack())
    assert again.count == sketch.count == len(values)
    assert [again.percentile(p) for p in PERCENTILES] == [sketch.percentile(p) for p in PERCENTILES]
    assert again.pack() == sketch.pack()


def test_merging_sketches_of_different_error_adds_the_errors() -> None:
    values = [float(value) for value in range(1, 2000)]
    total = merged([sketch_of(values, 0.02).pack(), sketch_of([0.0], 0.02).pack()], 0.01)
    assert total.count == 2000
    assert_close(total, [0.0, *values], 0.0303)


def test_p99_of_a_few_durations_is_the_slowest() -> None:
    """With three payments, one of them slow, p99 is the slow one and not the median."""
    sketch = sketch_of([3.0, 1260.0, 804.0])
    estimate = sketch.percentile(99)
    assert estimate is not None
    assert abs(estimate - 1260) < 13


def test_an_empty_sketch_has_no_percentile() -> None:
    assert Sketch(0.01).percentile(50) is None
    assert merged([], 0.01).count == 0


def test_negative_durations_count_as_zero_and_infinite_ones_as_the_maximum() -> None:
    sketch = sketch_of([-5.0, 0.0, math.inf])
    assert sketch.count == 3
    assert sketch.percentile(0) == 0
    assert sketch.percentile(100) == pytest.approx(1e12, rel=0.01)


def test_the_size_of_a_sketch_is_bounded() -> None:
    chance = random.Random(3)
    sketch = sketch_of([10 ** chance.uniform(-9, 12) for _ in range(50_000)])
    assert len(sketch.pack()) <= 17 + 6 * 4096
    estimate = sketch.percentile(99)
    assert estimate is not None and estimate > 1e9


@pytest.mark.parametrize(
    ("packed", "said"),
    [
        (b"", "0 bytes are not a sketch"),
        (b"nonsense", "8 bytes are not a sketch"),
        (sketch_of([1.0]).pack()[:-1], "are not a sketch"),
        (b"\x09" + sketch_of([1.0]).pack()[1:], "format 9; format 1 is known"),
        (b"\x01" + bytes(16), "relative error of 0.0"),
    ],
)
def test_invalid_bytes_are_refused(packed: bytes, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Sketch.unpack(packed)
