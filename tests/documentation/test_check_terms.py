"""The check that code and documentation use the field's terms."""

from __future__ import annotations

from pathlib import Path

import pytest
from docs.check_terms import Terms, problems

TERMS = Terms({"door": "hook", "hand over": "pass", "hand_over": "pass", "Telling": "GatewayMetrics"})


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("the door", [(1, "door")]),
        ("Doors and doorways", []),
        ("a\nDoor here, a door there", [(2, "Door"), (2, "door")]),
        ("we hand\n    over", [(1, "hand over")]),
        ("def hand_over_now():", [(1, "hand_over")]),
        ("self._door = 1", [(1, "door")]),
        ("class Telling:", [(1, "Telling")]),
        ("telling", []),
        ("indoor", []),
    ],
)
def test_words_to_avoid_are_found(text: str, found: list[tuple[int, str]]) -> None:
    assert [(line, word) for line, word, _ in TERMS.find(text)] == found


def test_the_replacement_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.py").write_text("'''A class.\n\nIt has a mend.'''\n")
    (tmp_path / "README.md").write_text("The guide says 500 ms.\n")
    assert problems(tmp_path) == [
        'README.md:1: "The guide": write the MITA monitoring guide',
        'src/a.py:3: "mend": write fix',
    ]
