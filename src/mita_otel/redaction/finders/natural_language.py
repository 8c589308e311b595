"""Values that words connect with their name: `the password for ada is …`, `wrong PIN (…)`, `… is your code`.

The grammar is *name, up to N words, delimiter, value*. The words in between decide how much the value has to
look like a secret.
"""

from __future__ import annotations

import dataclasses
import enum
import itertools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.names_in_text import NameInText, NamesInText
from mita_otel.redaction.finders.value_bounds import ValueShapes, has_digit, looks_random
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.scanner import fold

_SIGN: Final = re.compile(
    r"(?:[ \t]{0,4}(?:[=:\-]?>|\u2192|[:=,\-\u2013]|\.{2,40}|[|\u2502])[ \t]{1,4}|[ \t]{1,4})"
)
_WORD: Final = re.compile(r"\(?[^\s\"'`<>(){}\[\],;]{1,64}|([\"'`])[^\s\"'`]{1,64}\1")
_PASSED_MARKS: Final = frozenset({"", ",", ":", "-"})
_AFTER_FOREIGN: Final = re.compile(
    r"[\s:=\u662f\u4e3a\u70ba\u306f\u304c\u306e\ub294\uc740\uc774\uac00\"'\u300c\uff08(]{0,8}"
)
"""Signs and particles between a name and its value in scripts without blanks."""
_SENTENCE_END: Final = ".;!?"
_VALUE: Final = re.compile(
    r"\"(?P<double>[^\"\n]{1,256})\"|'(?P<single>[^'\n]{1,256})'|`(?P<tick>[^`\n]{1,256})`"
    r"|\((?P<round>[^()\n]{1,128})\)|\[(?P<square>[^\[\]\n]{1,128})\]|<(?P<angle>[^<>\n]{1,128})>"
    r"|(?P<bare>[\w+/.$#@%^*~!\-][^\s\"'`<>(){}\[\],;]{0,255})"
)
_AFTER_ASCII: Final = re.compile(r"[^!-~]")
_QUOTED: Final = frozenset({"double", "single", "tick"})
_TRAILING: Final = ".,;:!?"
_MIN_BARE: Final = 4
_MIN_ADJACENT: Final = 6
_NUMBERS: Final = {
    "cvv": re.compile(r"(?a)\d{3,4}(?![\w\-]|\.\d)"),
    "pin": re.compile(r"(?a)\d{4,12}(?![\w\-]|\.\d)"),
    "otp": re.compile(
        r"(?a)(?:[A-Za-z]-)?\d{4,10}(?![\w\-]|\.\d)|\d{3,4}[ \-]\d{3,4}(?![\w\-]|\.\d)|(?=[A-Za-z\-]*\d)[A-Za-z0-9]{3,8}(?:-[A-Za-z0-9]{3,8}){1,3}(?![\w\-])"
    ),
    "account": re.compile(r"(?a)\d[\d \-]{6,30}\d(?!\w|\.\d)"),
    "routing": re.compile(r"(?a)\d{9}(?!\w|\.\d)"),
    "ssn": re.compile(r"(?a)\d{3}[\- ]?\d{2}[\- ]?\d{4}(?!\w|\.\d)"),
}
"""How a value without quotes is written right after a name of the rule."""
_BEFORE: Final = re.compile(
    r"(?:\"(?P<double>[^\"\n]{1,96})\"|'(?P<single>[^'\n]{1,96})'|`(?P<tick>[^`\n]{1,96})`|(?<![\w.\-])(?P<bare>[\w.\-]{0,32}\d[\w.\-]{0,32}))"
    r" (?:is|was|as|for|ist|est|es)"
    r"(?: (?:not|a|an|the|your|my|valid|invalid|correct|allowed|acceptable|strong|common|value|field|in|for|one|wrong|new)){0,6} [\"'`(]{0,2}\Z"
)
_REACH: Final = 160
_LINK_BEFORE: Final = re.compile(" (?:is|was|as|for|ist|est|es) ")
"""Is between a value and the name that follows it."""
_NEXT_WORD: Final = re.compile(r"[ \-]([^\W\d_]+)")
_OTHER: Final = re.compile(
    r"[\"'`,;)\]]{0,2}(?: (?:and|but|not|instead of|expected|got|received|to|should be)){1,3}:? "
)
"""Words between two values of one name, as in `got 737, expected 738`."""
_KEY_VALUE: Final = re.compile(r"[\"'`*\])]{0,3}[ \t]{0,4}(?:=|:)")
"""A sign right after the name: the finder of keys and values looks at that."""
_QUOTES: Final = ("'", '"', "`")
_MAX_OWNER: Final = 3
_MAX_CODE: Final = 12
_MIN_LONG: Final = 16
_TOKENS: Final = frozenset({"token", "secret"})


class _Link(enum.Enum):
    """How the words between a name and a value connect them."""

    ADJACENT = 0
    """No word at all: `password hunter2`."""
    SAID = 1
    """A word or sign that connects: `password is …`, `password of ada: …`."""
    FAR = 2
    """Other words, and one that a value follows: `must have a digit, got …`."""


@dataclasses.dataclass(slots=True)
class _Walk:
    """How far the words behind a name were read."""

    position: int
    link: _Link = _Link.ADJACENT
    owner: int = 0
    """Words that may still name the owner of the value, as in `password for user ada`."""
    opens: bool = True
    """Whether a value may follow here."""


class _Candidate(NamedTuple):
    """A value that may belong to a name."""

    kind: str
    start: int
    end: int
    link: _Link


class NaturalLanguageFinder:
    """Finds the values of sensitive names in sentences.

    Args:
        keys: Which names are sensitive.
        shapes: Which values are words of a sentence.
        grammar: Words that connect a name with its value.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes, grammar: GrammarPolicy) -> None:
        self._keys = keys
        self._shapes = shapes
        self._names = NamesInText(keys)
        self._max_words = grammar.max_words
        self._connectors = frozenset(map(fold, grammar.connectors))
        self._pivots = frozenset(map(fold, grammar.pivots))
        self._prepositions = frozenset(map(fold, grammar.prepositions))

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        names = list(self._names(text))
        for name, following in itertools.zip_longest(names, names[1:]):
            before = self._before(text, name)
            if before is not None:
                yield before
            if not self._is_about(text, name):
                yield from self._after(text, name, following.start if following else len(text))

    def _is_about(self, text: str, name: NameInText) -> bool:
        """Return whether the next word makes the name one about the secret, as in `token type`."""
        word = _NEXT_WORD.match(text, name.end)
        lower = word[1].lower() if word else ""
        return self._keys.is_descriptive(lower) and lower not in self._connectors

    def _after(self, text: str, name: NameInText, limit: int) -> Iterator[Hit]:
        """Yield the value, and a second one next to it. Words are read up to `limit`, where the next name starts."""
        for candidate in self._candidates(text, name, limit):
            if self._is_secret(text, name, candidate):
                yield Hit(candidate.start, candidate.end, name.rule)
                other = _OTHER.match(text, candidate.end)
                second = self._candidate(text, other.end(), name, _Link.SAID) if other else None
                if second is not None and self._is_secret(text, name, second):
                    yield Hit(second.start, second.end, name.rule)
                return

    def _candidates(self, text: str, name: NameInText, limit: int) -> Iterator[_Candidate]:
        """Yield what may be the value: right behind the name, and behind each of the next words that lets one follow."""
        end = _closing_quote(text, name)
        start = _AFTER_FOREIGN.match(text, end) if not name.name.isascii() else None
        if start is not None and (candidate := self._candidate(text, start.end(), name, _Link.SAID)):
            yield candidate
        walk = _Walk(end)
        if sign := _KEY_VALUE.match(text, end):
            walk = _Walk(sign.end(), _Link.FAR, opens=False)
        for _ in range(self._max_words + 1):
            sign = _SIGN.match(text, walk.position)
            mark = sign.group().strip() if sign else ""
            if sign is None or (mark == "," and name.end != end):  # a list of names: `'password', 'token'`
                return
            if walk.opens and (candidate := self._candidate(text, sign.end(), name, _said(walk.link, mark))):
                yield candidate
            word = _WORD.match(text, sign.end())
            if (
                word is None
                or word.end() > limit
                or mark not in _PASSED_MARKS
                or word[0][-1] in _SENTENCE_END
            ):
                return
            self._step(walk, word)

    def _step(self, walk: _Walk, word: re.Match[str]) -> None:
        """Go on behind a word: it connects, names the owner of the value, or leads away from the name."""
        lower = word.group().lower().strip("(\"'`:")
        walk.position = word.end()
        walk.owner -= 1
        if lower in self._prepositions:
            walk.owner, walk.opens = _MAX_OWNER, lower in self._connectors
        elif lower in self._connectors:
            walk.link = _said(walk.link, ":")
            walk.opens = walk.link is not _Link.FAR or lower in self._pivots
        elif walk.owner < 0:
            walk.link, walk.opens = _Link.FAR, lower in self._pivots
        else:
            walk.opens = True
        if word[0][-1] == ":":
            walk.link = _said(walk.link, ":")

    def _candidate(self, text: str, start: int, name: NameInText, link: _Link) -> _Candidate | None:
        """Return the value that starts there, without what encloses it."""
        value = _VALUE.match(text, start)
        if value is None or MARKER.match(text, value.start()):
            return None
        kind = value.lastgroup or "bare"
        first, end = value.span(kind)
        if kind == "bare":
            number = _NUMBERS.get(name.rule)
            if number is not None:
                found = number.match(text, first)
                return _Candidate(kind, first, found.end(), link) if found else None
            shown = value[kind] if name.name.isascii() else _AFTER_ASCII.split(value[kind], maxsplit=1)[0]
            end = first + len(shown.rstrip(_TRAILING))
        return _Candidate(kind, first, end, link) if end > first else None

    def _is_secret(self, text: str, name: NameInText, candidate: _Candidate) -> bool:
        """Return whether a value looks like a secret, as much as its link with the name demands."""
        value = text[candidate.start : candidate.end]
        if self._shapes.is_ordinary_word(value) or self._keys.is_benign(name.name, name.verdict, value):
            return False
        if MARKER.match(value) or self._shapes.is_measured(text, candidate.end):
            return False
        if name.name.isascii() and name.name.lower() in value.lower():  # `password (servicePassword)`
            return False
        if name.rule in _NUMBERS:
            return candidate.kind == "bare" or bool(_NUMBERS[name.rule].fullmatch(value)) or _is_code(value)
        if candidate.kind in _QUOTED and not name.everyday:
            return any(map(str.isalnum, value)) and _is_quoted_secret(name, value, candidate.link)
        if self._shapes.is_named(value) or "=" in value.rstrip("="):
            return False
        if candidate.kind in _QUOTED:
            return _is_quoted_secret(name, value, candidate.link)
        return _is_bare_secret(name, value, candidate)

    def _before(self, text: str, name: NameInText) -> Hit | None:
        """Return the value of `… is your verification code` and the like."""
        if not _LINK_BEFORE.search(text, max(0, name.start - _REACH), name.start):
            return None
        value = _BEFORE.search(text, max(0, name.start - _REACH), name.start)
        if value is None or value.lastgroup is None:
            return None
        candidate = _Candidate(value.lastgroup, *value.span(value.lastgroup), _Link.SAID)
        if candidate.kind == "bare" and name.rule not in ("otp", "password"):
            return None
        found = self._is_secret(text, name, candidate)
        return Hit(candidate.start, candidate.end, name.rule) if found else None


def _closing_quote(text: str, name: NameInText) -> int:
    """Return where the name ends, with the quote that closes it."""
    quote = text[name.start - 1 : name.start]
    return name.end + (quote in _QUOTES and text.startswith(quote, name.end))


def _said(link: _Link, mark: str) -> _Link:
    """Return the link after a mark or a connecting word."""
    return _Link.SAID if link is _Link.ADJACENT and mark not in ("", ",") else link


def _is_code(value: str) -> bool:
    """Return whether a quoted value is a mistyped code: short, one piece, with a digit."""
    return len(value) <= _MAX_CODE and has_digit(value) and value.isalnum()


def _is_quoted_secret(name: NameInText, value: str, link: _Link) -> bool:
    if name.rule == "password" and not name.everyday:
        return link is not _Link.FAR or _is_mixed(value)
    if " " in value.strip():
        return False
    if not name.everyday:
        return (has_digit(value) and len(value) >= _MIN_BARE) or len(value) >= _MIN_LONG
    if link is _Link.SAID and name.rule in _TOKENS:
        return has_digit(value) and len(value) >= _MIN_BARE
    return looks_random(value)


def _is_bare_secret(name: NameInText, value: str, candidate: _Candidate) -> bool:
    """Return whether a value without quotes, in brackets or not, looks like a secret."""
    if any(map(str.isspace, value)):
        return False
    bracketed = candidate.kind != "bare"
    if bracketed:
        return looks_random(value) if name.everyday else _is_mixed(value)
    if candidate.link is _Link.SAID and (not name.everyday or name.rule in _TOKENS):
        return has_digit(value) and len(value) >= _MIN_BARE
    if name.everyday:
        return looks_random(value)
    return len(value) >= _MIN_ADJACENT and has_digit(value) and (_is_mixed(value) or not name.name.isalpha())


def _is_mixed(value: str) -> bool:
    """Return whether a value mixes digits with other characters, or capitals into a word."""
    if has_digit(value):
        return not value.isdigit() and len(value) >= _MIN_BARE
    return len(value) >= _MIN_ADJACENT and not (value.islower() or value.isupper() or value.istitle())
