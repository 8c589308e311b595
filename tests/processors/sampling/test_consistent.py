"""Ratios are consistent: by the specification, and as the SDK's own (experimental) samplers decide."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mita_otel.processors.sampling.consistent import (
    NEVER,
    Randomness,
    member_with,
    randomness_of,
    ratio_of,
    threshold_of,
)


@pytest.mark.parametrize(
    ("ratio", "threshold"),
    [(1.0, 0), (0.5, 0x80000000000000), (0.25, 0xC0000000000000), (0.0, NEVER)],
)
def test_thresholds_equal_the_specifications_table(ratio: float, threshold: int) -> None:
    assert threshold_of(ratio) == threshold
    assert ratio_of(threshold) == ratio


@given(st.integers(min_value=0, max_value=2**128 - 1), st.floats(0, 1), st.floats(0, 1))
def test_traces_kept_at_a_ratio_are_kept_at_every_larger_one(trace_id: int, a: float, b: float) -> None:
    small, large = sorted((a, b))
    randomness = randomness_of(trace_id)
    if randomness.passes(threshold_of(small)):
        assert randomness.passes(threshold_of(large))


@given(st.integers(min_value=1, max_value=2**128 - 1), st.floats(0.0001, 1))
def test_the_sdks_consistent_sampler_makes_the_same_decision(trace_id: int, ratio: float) -> None:
    from opentelemetry.sdk.trace._sampling_experimental import (
        composable_traceid_ratio_based,
        composite_sampler,
    )

    result = composite_sampler(composable_traceid_ratio_based(ratio)).should_sample(None, trace_id, "x")
    assert (result.decision.value == 2) == randomness_of(trace_id).passes(threshold_of(ratio))
    if result.decision.value == 2 and result.trace_state and ratio < 1:
        assert result.trace_state.get("ot") == member_with(None, threshold_of(ratio))


@pytest.mark.parametrize("ratio", [0.001, 0.1, 0.37])
def test_the_kept_fraction_is_the_ratio(ratio: float) -> None:
    chance, number = random.Random(7), 100_000
    threshold = threshold_of(ratio)
    kept = sum(randomness_of(chance.getrandbits(128)).passes(threshold) for _ in range(number))
    assert abs(kept - ratio * number) < 4 * math.sqrt(number * ratio * (1 - ratio))


@pytest.mark.parametrize(
    ("member", "expected"),
    [
        (None, Randomness(0x23456789ABCDEF, 0)),
        ("th:8", Randomness(0x23456789ABCDEF, 0x80000000000000)),
        ("th:e6666666666668", Randomness(0x23456789ABCDEF, 0xE6666666666668)),
        ("rv:00000000000001;th:0", Randomness(1, 0)),
        ("p:8;rv:ffffffffffffff", Randomness(0xFFFFFFFFFFFFFF, 0)),
        ("th:", Randomness(0x23456789ABCDEF, 0)),
        ("th:123456789012345", Randomness(0x23456789ABCDEF, 0)),
        ("th:xyz;rv:1", Randomness(0x23456789ABCDEF, 0)),
        ("rv:+0000000000001", Randomness(0x23456789ABCDEF, 0)),
        ("th:" + "0" * 400, Randomness(0x23456789ABCDEF, 0)),
    ],
)
def test_the_callers_member_is_parsed_and_invalid_parts_are_ignored(
    member: str | None, expected: Randomness
) -> None:
    assert randomness_of(0xAB0123456789ABCDEF, member) == expected


@pytest.mark.parametrize(
    ("member", "ratio", "expected"),
    [
        (None, 0.5, "th:8"),
        ("", 1.0, "th:0"),
        ("th:c;rv:00000000000001;x:1", 0.5, "th:8;rv:00000000000001;x:1"),
        ("x:" + "y" * 253, 0.5, "th:8"),
    ],
)
def test_the_threshold_is_written_and_other_parts_are_unchanged(
    member: str | None, ratio: float, expected: str
) -> None:
    assert member_with(member, threshold_of(ratio)) == expected
