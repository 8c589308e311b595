"""How much a value in a sentence has to look like a secret: the link with its name and its quotes decide.

Two values may stand behind one name: `credentials ada / …`, `username and password: ada / …`.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.names_in_text import NameInText
from mita_otel.redaction.finders.value_bounds import ValueShapes, has_digit, looks_random
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.scanner import fold

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
_PLACEHOLDER: Final = re.compile(
    r"[A-Za-z_ ]+\|[A-Za-z_| ]*|[a-z_][a-z_.]*\d{0,2}|\d{1,2}|[a-z]{1,32}[A-Z][A-Za-z]{1,64}\d?"
)
"""The name of a value that a template leaves in place of it."""
_CLASSES: Final = (str.islower, str.isupper, str.isdigit, lambda char: not char.isalnum())
_MIN_CLASSES: Final = 3
_BETWEEN: Final = re.compile(r" (?:for|valid) ")
_GIVEN: Final = re.compile(
    r"(?i)\b(?:got|received|entered|typed|gave|given|sent|supplied|submitted|tried) \Z"
)
"""Before a value that somebody entered for a name, as in `got 4821 for pin of ada`."""
_GIVEN_REACH: Final = 16
_LAST: Final = re.compile(r"[\"')]?(?:[.,;!?\n]|\Z| (?:of|for|but|and)\b)")
"""After a name that ends a sentence or a part of one."""
_PAIR: Final = re.compile(
    r"[\s:=]{1,4}(?:(?:are|were|was|is|of|as|with|used|given|sent|pair):? ){0,2}[\"'`(\[<]{0,2}"
    r"(?P<user>[\w.@+\-]{1,64})[\"'`]?(?P<sign> ?[/|] ?|:|, | and | [\-=]> )[\"'`]?(?P<value>[^\s\"'`(){}\[\],;|<>]{4,128})"
)
"""A user and a secret, as in `credentials ada / …`."""
_NAMED_BEFORE: Final = re.compile(
    r"(?i)(?<!\w)(?:user(?:name)?|login|e-?mail|account|id) ?(?:[/&+,]|and|or) ?\Z"
)
"""The name of the user before the name of the secret, as in `username and password`."""
_LOGIN: Final = r"(?i:(?<![\w\-])(?:{verbs})(?![\w\-/]))(?:[ :]{{1,2}}(?:{words}):?){{0,4}}[ :=(]{{1,3}}(?:(?:user(?:name)?[=:] ?)?[\w.@\-]{{1,64}}[:,] )?"
_USER_AND_VALUE: Final = r"[\"'`]?(?P<user>(?=[\w.@+\-]*[A-Za-z])[\w.@+\-]{1,64})[\"'`]?(?P<sign> ?[/|] ?|:)[\"'`]?(?P<value>[^\s\"'`(){}\[\],;|<>/:]{4,128})(?![/:])"
"""A user and a secret behind a word for a sign-in, as in `login failed: ada / …`."""
_REACH: Final = 24
_TRAILING: Final = ".,;:!?"
_CLOSE: Final = frozenset({"/", "|", ":", "->", "=>"})
"""Signs that seldom stand between other words. After `and` or a comma the value has to look random."""


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
    if (
        link is Connection.ADJACENT
        and name.rule in _TOKENS
        and len(value) >= _MIN_ADJACENT
        and is_varied(value)
    ):
        return True
    return looks_random(value)


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


def is_varied(value: str) -> bool:
    """Return whether a value has three of small letters, capitals, digits and signs, and a digit."""
    return has_digit(value) and sum(any(map(belongs, value)) for belongs in _CLASSES) >= _MIN_CLASSES


def said(link: Connection, mark: str) -> Connection:
    """Return the link after a mark or a connecting word."""
    return Connection.SAID if link is Connection.ADJACENT and mark not in ("", ",") else link


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


class CredentialPairs:
    """Finds the secret of a user and a secret.

    Args:
        keys: Which names are about a secret.
        shapes: Which values are words of a sentence.
        grammar: Names whose value is a user and a secret.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes, grammar: GrammarPolicy) -> None:
        self._keys = keys
        self._shapes = shapes
        self._names = frozenset(grammar.pairs)

    def is_of_pair(self, text: str, name: NameInText) -> bool:
        """Return whether a user and a secret may follow, as after `credentials` or `username and password`."""
        if name.rule == "password":
            return _NAMED_BEFORE.search(text, max(0, name.start - _REACH), name.start) is not None
        return name.name.lower() in self._names

    def secret_of(self, text: str, name: NameInText) -> Hit | None:
        """Return the secret of a user and a secret, as in `credentials ada / …`."""
        pair = _PAIR.match(text, name.end)
        if pair is None:
            return None
        user, value = pair["user"].lower(), pair["value"].rstrip(_TRAILING)
        if self._keys.is_descriptive(user) or self._shapes.is_ordinary_word(user):
            return None
        if (
            MARKER.match(text, pair.start("value"))
            or self._shapes.is_ordinary_word(value)
            or self._shapes.is_named(value)
        ):
            return None
        if not (
            is_mixed(value) if pair["sign"].strip() in _CLOSE else has_digit(value) and looks_random(value)
        ):
            return None
        return Hit(pair.start("value"), pair.start("value") + len(value), name.rule)


class LoginFinder:
    """Finds the secrets of users that sign in, as in `login ada / …`.

    Args:
        keys: Which names are about a secret.
        shapes: Which values are words of a sentence.
        grammar: Words for a sign-in, and words that may follow them.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes, grammar: GrammarPolicy) -> None:
        self._keys = keys
        self._shapes = shapes
        self.words = grammar.logins
        """One of these is in every text that is read."""
        between = {*grammar.connectors, *grammar.prepositions, *grammar.checks, *grammar.login_words}
        self._login = re.compile(
            _LOGIN.format(
                verbs="|".join(map(re.escape, sorted(grammar.logins, key=len, reverse=True))),
                words="|".join(map(re.escape, sorted(map(fold, between), key=len, reverse=True))),
            )
            + _USER_AND_VALUE
        )

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the secrets."""
        for match in self._login.finditer(text):
            user, value = match["user"].lower(), match["value"].rstrip(_TRAILING)
            if self._is_word(user) or self._is_word(value) or self._shapes.is_named(value):
                continue
            is_apart = " " in match["sign"]
            if is_mixed(value) if is_apart else is_varied(value):
                yield Hit(match.start("value"), match.start("value") + len(value), "password")

    def _is_word(self, value: str) -> bool:
        return self._keys.is_descriptive(value) or self._shapes.is_ordinary_word(value)
