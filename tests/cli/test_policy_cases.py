"""`mita-otel policy test`: a policy against expected limits and redactions."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.conftest import Command
from mita_otel.errors import ConfigurationError
from mita_otel.testing.policy_cases import read_cases

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "testing.md"
EXAMPLE = re.findall(r"```toml\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)[0]


@pytest.fixture
def cases(tmp_path: Path) -> Path:
    path = tmp_path / "cases.toml"
    path.write_text(EXAMPLE, "utf-8")
    return path


def test_the_example_of_the_documentation_passes(command: Command, cases: Path) -> None:
    result = command("policy", "test", str(cases))
    assert (result.code, result.out.strip()) == (0, "3 cases passed")


@pytest.mark.parametrize(
    ("right", "wrong", "difference"),
    [
        ('"api.financial.GET"', '"api.methods.GET"', "+ found    rule = api.financial.GET"),
        ('"api.financial.GET"', '"none"', "+ found    rule = api.financial.GET"),
        ("limit_ms = 300", "limit_ms = 500", "+ found    limit_ms = 300"),
        ("exceeded = true", "exceeded = false", "+ found    exceeded = true"),
        ('"card [redacted:pan] declined"', '"card declined"', "+ found    'card [redacted:pan] declined'"),
        ('"[redacted:password]"', '"hunter22"', "+ found    '[redacted:password]'"),
    ],
)
def test_a_difference_is_shown(
    command: Command, cases: Path, right: str, wrong: str, difference: str
) -> None:
    cases.write_text(EXAMPLE.replace(right, wrong), "utf-8")
    result = command("policy", "test", str(cases))
    assert result.code == 1
    assert difference in result.out
    assert "1 of 3 cases failed" in result.err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no cases"),
        ("spans = 3", r"spans: is not a list of cases"),
        ("[[span]]", r"span: is not a list of cases"),
        ("[[spans]]\nrul = 'x'", "spans 1: unknown key rul"),
        ("[[spans]]\nname = 'x'", "expects nothing"),
        ("[[spans]]\nexceeded = true", "needs duration_ms"),
        ("[[spans]]\nlimit_ms = true", "wrong type"),
        ("[[spans]]\nkind = 'server'\nrule = 'x'", "kind is 'server'; use INTERNAL"),
        ("[[texts]]\ntext = 'x'", "redacted is missing"),
        ("[[texts]", "is not TOML"),
    ],
)
def test_a_malformed_case_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "cases.toml"
    path.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=message):
        read_cases(path)
