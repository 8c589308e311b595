"""Lines that belong together are redacted together, within a bound."""

from __future__ import annotations

import pytest

from mita_otel.redaction import Redactor
from mita_otel.redaction.finders.markup import YamlFinder
from mita_otel.redaction.finders.value_bounds import ValueShapes
from mita_otel.redaction.lines import records, redact_lines


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
def test_related_lines_form_one_record(lines: list[str], expected: list[str]) -> None:
    assert list(records(lines, 1000)) == expected


def test_an_unterminated_record_is_bounded() -> None:
    assert [len(one) for one in records(["{\n", *["x" * 99 + "\n"] * 30], 1000)] == [1002, *[100] * 20]
    assert max(one.count("\n") for one in records(["{\n", *["x\n"] * 5000], 100_000)) == 512


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (["password: |\n", "  a\n", "\n", "  b\n", "user: x\n"], ["password: |\n  a\n\n  b\n", "user: x\n"]),
        (["tokens:\n", "- a\n", "- b\n", "x\n"], ["tokens:\n- a\n- b\n", "x\n"]),
        (["password:\n", "secret:\n", "  a\n"], ["password:\n", "secret:\n  a\n"]),
        (["host:\n", "  a\n"], ["host:\n", "  a\n"]),
        (["password: x\n", "  a\n"], ["password: x\n", "  a\n"]),
    ],
)  # fmt: skip
def test_yaml_lines_below_a_sensitive_name_belong_to_it(lines: list[str], expected: list[str]) -> None:
    assert (
        list(records(lines, 1000, YamlFinder(Redactor().keys, ValueShapes(Redactor().policy.grammar)).opens))
        == expected
    )


def test_yaml_by_lines_is_redacted_like_the_whole_text() -> None:
    text = "db:\n  password: >-\n    hunter2-Zx\n    and more\n  host: db1\nsecrets:\n  - s3cr3t-a\nend: 1\n"
    redacted = "".join(redact_lines(Redactor(), text.splitlines(keepends=True)))
    assert redacted == Redactor().text(text)
    assert "hunter2" not in redacted
    assert "s3cr3t" not in redacted
