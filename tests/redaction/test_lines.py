"""What is read together, and how much is held back for it."""

from __future__ import annotations

import pytest

from mita_otel.redaction.lines import records


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["a\n", "b\n"], ["a\n", "b\n"]),
        (["[x] a\n", "{}\n", "b"], ["[x] a\n", "{}\n", "b"]),
        (["{\n", '"a": [\n', "1]\n", "}\n", "b\n"], ['{\n"a": [\n1]\n}\n', "b\n"]),
        (["[\n", "1\n"], ["[\n1\n"]),
        (["x -----BEGIN PRIVATE KEY-----\n", "y\n", "-----END PRIVATE KEY-----\n", "z\n"],
         ["x -----BEGIN PRIVATE KEY-----\ny\n-----END PRIVATE KEY-----\n", "z\n"]),
        ([], []),
    ],
)  # fmt: skip
def test_lines_that_belong_together(lines: list[str], expected: list[str]) -> None:
    assert list(records(lines, 1000)) == expected


def test_what_never_ends_is_held_back_with_a_bound() -> None:
    assert [len(one) for one in records(["{\n", *["x" * 99 + "\n"] * 30], 1000)] == [1002, *[100] * 20]
    assert max(one.count("\n") for one in records(["{\n", *["x\n"] * 5000], 100_000)) == 512
