"""Reads the Markdown files of the repository: links, headings and code blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
IGNORED = {".venv", ".venvs", "node_modules", ".pytest_cache", "dist", "build"}
PAGES = sorted(
    path for path in ROOT.rglob("*.md") if not IGNORED & set(path.relative_to(ROOT).parts) and path.is_file()
)

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^(?:    .*\n)+", re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]*`")
_LINK = re.compile(r"\]\(([^)\s]+)\)")


class Block(NamedTuple):
    """A code block in a page."""

    page: Path
    line: int
    code: str

    def __repr__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks(language: str) -> list[Block]:
    """Return the fenced code blocks of a language in all pages."""
    return [
        Block(page, text.count("\n", 0, found.start()) + 1, found[2])
        for page in PAGES
        for text in [page.read_text("utf-8")]
        for found in _FENCED.finditer(text)
        if found[1] == language
    ]


def links(page: Path) -> list[str]:
    """Return the link targets of a page, without links to other sites."""
    prose = _INLINE.sub("", _INDENTED.sub("", _FENCED.sub("", page.read_text("utf-8"))))
    return [target for target in _LINK.findall(prose) if "://" not in target]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page: its headings, spelled as GitHub does."""
    text = _FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
