"""Where commands write to."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console

_PIPED = 100_000
"""Columns of what is not a terminal: a line is never broken, so that one can search in it."""


def console() -> Console:
    """Return rich's console for stdout: as wide as the terminal, or as wide as it takes."""
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else _PIPED, highlight=False, soft_wrap=False)


def here(place: str) -> str:
    """Return a place without the name of the working directory in front."""
    return place.removeprefix(f"{Path.cwd()}/")


def visible(text: str) -> str:
    """Return the text in one line, with every character that a terminal would obey, or not show, written out.

    What people and apps chose must not be able to draw another line of the audit trail, or to hide one.
    """
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
