"""The words between a name and its value: they connect both, name the owner of the value, or lead away."""

from __future__ import annotations

import dataclasses
import re
from typing import Final

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.finders.sentence_values import Connection, said
from mita_otel.redaction.scanner import fold

_MAX_OWNER: Final = 3


@dataclasses.dataclass(slots=True)
class Walk:
    """How far the words behind a name were read."""

    position: int
    link: Connection = Connection.ADJACENT
    owner: int = 0
    """Words that may still name the owner of the value, as in `password for user ada`."""
    opens: bool = True
    """Whether a value may follow here."""
    mistyped: bool = False
    """Whether a word says that the value is malformed."""
    needs_sign: bool = False
    """Whether a value must follow a sign or be in quotes, as in `contraseña incorrecta: …`."""


class WordsBetween:
    """Reads the words behind a name one by one.

    Args:
        grammar: What the words mean.
    """

    def __init__(self, grammar: GrammarPolicy) -> None:
        self.complaints = frozenset(map(fold, grammar.complaints))
        """Words that say that a value is wrong."""
        self.connectors = frozenset(map(fold, grammar.connectors))
        """Words that connect a name directly with its value."""
        self._pivots = frozenset(map(fold, grammar.pivots))
        self._prepositions = frozenset(map(fold, grammar.prepositions))

    def step(self, walk: Walk, word: re.Match[str]) -> None:
        """Go on behind a word: it connects, names the owner of the value, or leads away from the name."""
        lower = word.group().lower().strip("(\"'`:")
        is_first = walk.link is Connection.ADJACENT and not walk.needs_sign
        walk.position = word.end()
        walk.owner -= 1
        walk.mistyped = walk.mistyped or lower in self.complaints
        walk.needs_sign = False
        if lower in self._prepositions:
            walk.owner, walk.opens = _MAX_OWNER, lower in self.connectors
        elif lower in self.connectors:
            walk.link = said(walk.link, ":")
            walk.opens = walk.link is not Connection.FAR or lower in self._pivots
        elif lower in self.complaints and walk.link is not Connection.FAR:
            walk.opens = walk.needs_sign = True
        elif walk.owner < 0:
            walk.link, walk.opens = Connection.FAR, lower in self._pivots
        else:
            walk.opens = True
        if word[0][-1] == ":" and is_first and walk.link is Connection.FAR and lower.isalpha():
            walk.link, walk.opens = Connection.SAID, True
        if word[0][-1] == ":":
            walk.link, walk.needs_sign = said(walk.link, ":"), False
