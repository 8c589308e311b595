"""The comparison of key shapes with a rule set finds what the redactor misses."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import pytest
from benchmarks import redaction_key_shapes as shapes

KNOWN = {"id": "known", "regex": "shippo_(?:live|test)_[a-fA-F0-9]{40}"}
UNKNOWN = {"id": "unknown", "regex": r"\bzzprov_[a-z0-9]{24}\b"}


@pytest.mark.parametrize("pattern", [r"ab[0-9]{4}(?:x|y)_[^a]{2}", r"(?:a|b)\.\w{3}-\d{2,5}"])
def test_a_generated_key_matches_its_pattern(pattern: str) -> None:
    assert re.fullmatch(pattern, shapes.key_of(pattern, random.Random(1)))


def test_only_missing_shapes_are_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def run(*rules: dict[str, Any]) -> int:
        path = tmp_path / "rules.toml"
        path.write_text(
            "".join(f"[[rules]]\nid = '{rule['id']}'\nregex = '''{rule['regex']}'''\n" for rule in rules)
        )
        monkeypatch.setattr("sys.argv", ["key_shapes", str(path)])
        return shapes.main()

    assert run(KNOWN) == 0
    assert "no shape is missing" in capsys.readouterr().out
    assert run(KNOWN, UNKNOWN) == 1
    assert capsys.readouterr().out.startswith("unknown: zzprov_")
