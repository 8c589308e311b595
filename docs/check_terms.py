"""Checks that code and documentation use the field's terms: `python docs/check_terms.py`. The words are in terms.toml."""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).parents[1]
_SETTINGS = tomllib.loads(Path(__file__).with_name("terms.toml").read_text("utf-8"))
_PAGES = ["*.md", "docs/**/*.md", "examples/**/*.md", ".github/**/*.md"]
_SOURCES = [
    f"{folder}/**/*.{kind}" for folder in ("src", "examples") for kind in ("py", "toml", "html", "css", "js")
]


class Terms:
    """Words to avoid, with their replacements."""

    def __init__(self, instead: dict[str, str]) -> None:
        self._instead = {word.lower(): better for word, better in instead.items()}
        exact = [word for word in instead if word != word.lower()]
        any_case = [word for word in instead if word == word.lower()]
        self._pattern = re.compile(f"{_any_of(exact)}|(?i:{_any_of(any_case)})")

    def find(self, text: str) -> Iterator[tuple[int, str, str]]:
        """Yield the line number, the word and its replacement for each word to avoid."""
        for match in self._pattern.finditer(text):
            word = " ".join(match[0].split())
            yield text.count("\n", 0, match.start()) + 1, word, self._instead[word.lower()]


def _any_of(words: Iterable[str]) -> str:
    alternatives = "|".join(r"\s+".join(map(re.escape, word.split())) for word in words)
    return f"(?<![A-Za-z])(?:{alternatives})(?![a-z])"


def problems(root: Path = ROOT) -> list[str]:
    """Return one line for each word to avoid."""
    in_code = Terms(_SETTINGS["instead"])
    in_pages = Terms({**_SETTINGS["instead"], **_SETTINGS["instead_in_docs"]})
    pending = set(_SETTINGS["pending"]["files"])
    found = []
    for patterns, terms in ((_PAGES, in_pages), (_SOURCES, in_code)):
        for path in sorted({path for pattern in patterns for path in root.glob(pattern)}):
            name = str(path.relative_to(root))
            if name in pending or not path.is_file():
                continue
            found += [
                f'{name}:{line}: "{word}": write {better}'
                for line, word, better in terms.find(path.read_text("utf-8"))
            ]
    return found


if __name__ == "__main__":
    sys.exit("\n".join(problems()) or 0)
