"""A user and a secret behind one name: `credentials ada / …`, `username and password: ada / …`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.names_in_text import NameInText
from mita_otel.redaction.finders.sentence_values import is_mixed, is_varied
from mita_otel.redaction.finders.value_bounds import ValueShapes, has_digit, looks_random
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.scanner import fold

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
