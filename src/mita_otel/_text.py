"""Text for people: counts in words, and text from outside made safe for a terminal and a spreadsheet.

Names, messages and ids come from applications, apps and people. Without this, one of them could move a terminal's
cursor, hide or forge a line, or start a formula.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

_FORMULA: Final = re.compile(
    r"""(?:^|(?<=[;\t]))        # a spreadsheet may also take these as separators
    (?=[\s"]*[=+\-@|%\uff1d\uff0b\uff0d\uff20]|[\t\r\n])""",
    re.VERBOSE,
)


def visible(text: str) -> str:
    """Return the text as one line, with control and invisible characters escaped, by their code."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)


def visible_lines(text: str) -> str:
    """Return the text with its line breaks, and other control and invisible characters escaped."""
    return "\n".join(map(visible, text.split("\n")))


def visible_json(text: str) -> str:
    """Return JSON with control and invisible characters in its strings escaped. The data is the same."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one == "\n" else json.dumps(one)[1:-1] for one in text)


def json_text(value: Any, *, indent: int | None = None) -> str:
    """Return a value as JSON without control and invisible characters."""
    return visible_json(json.dumps(value, ensure_ascii=False, indent=indent))


def escape_formula(text: str) -> str:
    """Return the text with an apostrophe wherever a spreadsheet would start a formula."""
    return _FORMULA.sub("'", text)


def spreadsheet_cell(text: str) -> str:
    """Return the text as one line for a cell of a CSV file: no control characters, no formula."""
    return visible(escape_formula(text))


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """Return a number and what it counts, as in `1 chain`, `2,000 entries`.

    Args:
        count: The number.
        noun: What is counted, if it is one.
        plural: If there are several. None: with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
