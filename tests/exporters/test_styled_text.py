"""Styled text is measured in columns, truncated between characters, and has optional colours."""

from __future__ import annotations

import io

import pytest

from mita_otel.exporters.styled_text import StyledText, columns_of, shows_colours


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "columns"),
    [("", 0), ("abc", 3), ("é", 1), ("e\u0301", 1), ("口座", 4), ("ｗ", 2), ("😀", 2), ("❤", 1), ("❤\ufe0f", 2), ("\U000e01f0", 2)],
)  # fmt: skip
def test_columns_of_a_text(text: str, columns: int) -> None:
    assert columns_of(text) == columns


@pytest.mark.parametrize(
    ("width", "cut"),
    [
        (9, "ab口座cd"),
        (8, "ab口座cd"),
        (7, "ab口座…"),
        (6, "ab口 …"),
        (5, "ab口…"),
        (3, "ab…"),
        (1, "…"),
        (0, ""),
    ],
)
def test_a_text_that_is_too_wide_ends_in_an_ellipsis(width: int, cut: str) -> None:
    text = StyledText("ab").append("口座", "red").append("cd")
    assert text.cut(width, "…").plain == cut


def test_truncating_does_not_change_the_original() -> None:
    text = StyledText("abc")
    text.cut(2, "…").append("more")
    text.padded(9)
    assert text.plain == "abc"


def test_a_text_is_padded_to_a_width() -> None:
    assert StyledText("口").padded(4).plain == "口  "
    assert StyledText("abc").padded(2).plain == "abc"


def test_pieces_keep_their_styles() -> None:
    text = StyledText("a", "bold red").append("b").append(StyledText("c", "dim")).append("  ", "dim")
    assert text.rendered(colours=True) == "\x1b[1;31ma\x1b[0mb\x1b[2mc\x1b[0m"
    assert text.rendered(colours=False) == "abc"


@pytest.mark.parametrize(
    ("env", "terminal", "colours"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": ""}, True, False),
        ({"TERM": "xterm", "NO_COLOR": "1"}, True, False),
        ({"TERM": "", "FORCE_COLOR": "1"}, False, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colours_depend_on_the_terminal_and_the_environment(
    monkeypatch: pytest.MonkeyPatch, env: dict[str, str], terminal: bool, colours: bool
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    assert shows_colours(Terminal() if terminal else io.StringIO()) is colours
