"""How much a value in a sentence has to look like a secret: the link with its name and its quotes decide."""

from __future__ import annotations

import enum
import re
from typing import Final

from mita_otel.redaction.finders.names_in_text import NameInText
from mita_otel.redaction.finders.value_bounds import has_digit, looks_random

_MIN_BARE: Final = 4
_MIN_ADJACENT: Final = 6
_MAX_CODE: Final = 12
_MIN_LONG: Final = 16
_TOKENS: Final = frozenset({"token", "secret"})
NUMBERS: Final = {
    "cvv": re.compile(r"(?a)\d{3,4}(?![\w\-]|\.\d)"),
    "pin": re.compile(r"(?a)\d{4,12}(?![\w\-]|\.\d)"),
    "otp": re.compile(
        r"(?a)(?:[A-Za-z]-)?\d{4,10}(?![\w\-]|\.\d)|\d{3,4}[ \-]\d{3,4}(?![\w\-]|\.\d)|(?=[A-Za-z\-]*\d)[A-Za-z0-9]{3,8}(?:-[A-Za-z0-9]{3,8}){1,3}(?![\w\-])"
    ),
    "account": re.compile(r"(?a)\d[\d \-]{6,30}\d(?!\w|\.\d)"),
    "routing": re.compile(r"(?a)\d{9}(?!\w|\.\d)"),
    "ssn": re.compile(
        r"(?a)(?:\d{3}[\- ]?\d{2}[\- ]?\d{4}|\d{3}[\- ]\d{3}[\- ]\d{3}|\d{6}-\d{7}|\d{11,12})(?!\w|\.\d)"
    ),
}
"""How a value without quotes is written right after a name of the rule."""
MISTYPED: Final = {
    "ssn": re.compile(
        r"(?a)(?!(?:19|20)\d\d-(?:0\d|1[0-2])-[0-3]\d)(?:[A-Z]{1,2} ?)?(?=(?:[ \-.]?\d){6})\d(?:[ \-.]?\d){4,15}[ \-.]?[\dA-Za-z]{0,2}(?![\w\-])"
    ),
}
"""How a value is written that the text calls malformed. It is no date."""


class Connection(enum.Enum):
    """How the words between a name and a value connect them."""

    ADJACENT = 0
    """No word at all: `password hunter2`."""
    SAID = 1
    """A word or sign that connects: `password is …`, `password of ada: …`."""
    FAR = 2
    """Other words, and one that a value follows: `must have a digit, got …`."""


def is_code(value: str) -> bool:
    """Return whether a quoted value is a mistyped code: short, one piece, with a digit."""
    return len(value) <= _MAX_CODE and has_digit(value) and value.isalnum()


def is_quoted_secret(name: NameInText, value: str, link: Connection) -> bool:
    """Return whether a quoted value looks like a secret."""
    if name.rule == "password" and not name.everyday:
        return link is not Connection.FAR or is_mixed(value)
    if " " in value.strip():
        return False
    if not name.everyday:
        return (has_digit(value) and len(value) >= _MIN_BARE) or len(value) >= _MIN_LONG
    if link is Connection.SAID and name.rule in _TOKENS:
        return has_digit(value) and len(value) >= _MIN_BARE
    return looks_random(value)


_PLACEHOLDER: Final = re.compile(
    r"[A-Za-z_ ]+\|[A-Za-z_| ]*|[a-z_][a-z_.]*\d{0,2}|\d{1,2}|[a-z]{1,32}[A-Z][A-Za-z]{1,64}\d?"
)
"""The name of a value that a template leaves in place of it."""


def is_bare_secret(name: NameInText, value: str, kind: str, link: Connection) -> bool:
    """Return whether a value without quotes, in brackets or not, looks like a secret."""
    if any(map(str.isspace, value)):
        return False
    bracketed = kind != "bare"
    if kind in ("curly", "angle") and _PLACEHOLDER.fullmatch(value):
        return False
    if bracketed:
        return looks_random(value) if name.everyday else is_mixed(value)
    if link is Connection.SAID and (not name.everyday or name.rule in _TOKENS):
        return has_digit(value) and len(value) >= _MIN_BARE
    if name.everyday:
        return looks_random(value)
    return len(value) >= _MIN_ADJACENT and has_digit(value) and (is_mixed(value) or not name.name.isalpha())


def is_mixed(value: str) -> bool:
    """Return whether a value mixes digits with other characters, or capitals into a word."""
    if has_digit(value):
        return not value.isdigit() and len(value) >= _MIN_BARE
    return len(value) >= _MIN_ADJACENT and not (value.islower() or value.isupper() or value.istitle())


_CLASSES: Final = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())
_MIN_CLASSES: Final = 3


def is_varied(value: str) -> bool:
    """Return whether a value has three of small letters, capitals, digits and signs, and a digit."""
    return has_digit(value) and sum(any(map(belongs, value)) for belongs in _CLASSES) >= _MIN_CLASSES


def said(link: Connection, mark: str) -> Connection:
    """Return the link after a mark or a connecting word."""
    return Connection.SAID if link is Connection.ADJACENT and mark not in ("", ",") else link


_BETWEEN: Final = re.compile(r" (?:for|valid) ")
_GIVEN: Final = re.compile(
    r"(?i)\b(?:got|received|entered|typed|gave|given|sent|supplied|submitted|tried) \Z"
)
"""Before a value that somebody entered for a name, as in `got 4821 for pin of ada`."""
_GIVEN_REACH: Final = 16
_LAST: Final = re.compile(r"[\"')]?(?:[.,;!?\n]|\Z| (?:of|for|but|and)\b)")
"""After a name that ends a sentence or a part of one."""


def may_precede(text: str, name: NameInText, start: int, end: int) -> bool:
    """Return whether a value without quotes may be that of the name after it, as in `4821 is not the PIN`."""
    if name.rule in ("otp", "password"):
        return True
    if name.rule not in ("pin", "cvv") or not NUMBERS[name.rule].fullmatch(text, start, end):
        return False
    is_for = _BETWEEN.search(text, end, name.start) and not _GIVEN.search(
        text, max(0, start - _GIVEN_REACH), start
    )
    return not is_for and bool(_LAST.match(text, name.end))
