"""Values without digits that commas set off from a sentence: `the password, swordfish, is on the deny list`."""

from __future__ import annotations

import re
from typing import Final

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.names_in_text import NameInText
from mita_otel.redaction.finders.value_bounds import ValueShapes
from mita_otel.redaction.keys import KeyRules

_ASIDE: Final = re.compile(
    r", (?:(?:e\.g\.|i\.e\.|viz\.|namely|that is|meaning) )?[\"']?(?P<value>[A-Za-z]{5,40})[\"']?, (?P<verb>[a-z]{2,12})\b"
)
_RULES: Final = frozenset({"password"})
"""Rules whose values may be words."""
_ENDINGS: Final = ("ly", "ed", "ing")
"""How adverbs and participles end."""


class AsideFinder:
    """Finds words between commas that are the value of the name before them.

    Args:
        keys: Which words are names.
        shapes: Which words continue a sentence.
        grammar: Words between commas that are no values, and verbs that follow a value.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes, grammar: GrammarPolicy) -> None:
        self._keys = keys
        self._shapes = shapes
        self._asides = frozenset(grammar.asides)
        self._verbs = frozenset(grammar.aside_verbs).union(grammar.connectors)

    def value_of(self, text: str, name: NameInText) -> Hit | None:
        """Return the value between commas behind a name."""
        match = _ASIDE.match(text, name.end) if name.rule in _RULES and not name.everyday else None
        if match is None or match["verb"] not in self._verbs or self._is_of_sentence(match["value"]):
            return None
        return Hit(*match.span("value"), name.rule)

    def _is_of_sentence(self, word: str) -> bool:
        """Return whether a word between commas belongs to the sentence."""
        lower = word.lower()
        if lower in self._asides or lower.endswith(_ENDINGS) or self._shapes.is_ordinary_word(word):
            return True
        return self._keys.phrase_verdict((lower,))[0].rule is not None
