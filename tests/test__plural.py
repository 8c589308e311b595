"""A number and what it counts, in words."""

from __future__ import annotations

import pytest

from mita_otel._plural import counted


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 chains"), (1, "1 chain"), (2, "2 chains"), (12_345, "12,345 chains")]
)
def test_a_number_and_what_it_counts(count: int, words: str) -> None:
    assert counted(count, "chain") == words


def test_a_plural_of_its_own() -> None:
    assert (counted(1, "entry", "entries"), counted(2_000, "entry", "entries")) == (
        "1 entry",
        "2,000 entries",
    )
