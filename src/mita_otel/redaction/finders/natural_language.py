"""Values that words connect with their name: `the password for ada is …`, `wrong PIN (…)`, `… is your code`.

The grammar is *name, up to N words, delimiter, value*. The words in between decide how much the value has to
look like a secret.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.finders.asides import AsideFinder
from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.names_in_text import NameInText, NamesInText, closing_quote
from mita_otel.redaction.finders.sentence_values import (
    MISTYPED,
    NUMBERS,
    Connection,
    CredentialPairs,
    is_bare_secret,
    is_code,
    is_quoted_secret,
    may_precede,
    said,
)
from mita_otel.redaction.finders.value_bounds import ValueShapes
from mita_otel.redaction.finders.words_between import Walk, WordsBetween
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER, NEVER_SHOWN, TRUNCATED

_SIGN: Final = re.compile(
    r"(?:[ \t]{0,4}(?:[=:\-]?>|[:=,;\-\u2013]|\.{2,40}|\u2026|[|\u2502])[ \t]{1,4}|[ \t]{0,4}[\u2190-\u21ff\u2794-\u27bf][ \t]{0,4}|[ \t]{1,4})"
)
_WORD: Final = re.compile(r"\(?[^\s\"'`<>(){}\[\],;]{1,64}|([\"'`])[^\s\"'`]{1,64}\1")
_PASSED_MARKS: Final = frozenset({"", ",", ":", "-"})
_AFTER_FOREIGN: Final = re.compile(
    r"[\s:=\u662f\u4e3a\u70ba\u306f\u304c\u306e\ub294\uc740\uc774\uac00\"'\u300c\uff08(]{0,8}"
)
"""Signs and particles between a name and its value in scripts without blanks."""
_SIGNS: Final = frozenset(":=")
_BARE_WORD: Final = re.compile(r"(?=[^\s]{0,64}\d)[^\s\"'`<>(){}\[\],;\u3002\uff0c]{4,256}(?=[\s,;]|\Z)")
"""A value in any script behind a sign."""
_SENTENCE_END: Final = ".;!?"
_VALUE: Final = re.compile(
    r"\"(?P<double>[^\"\n]{1,256})\"|'(?P<single>[^'\n]{1,256})'|`(?P<tick>[^`\n]{1,256})`"
    r"|\((?P<round>[^()\n]{1,128})\)|\[(?P<square>[^\[\]\n]{1,128})\]|<{1,2}(?P<angle>[^<>\n]{1,128})>{1,2}"
    r"|\{{1,2}(?P<curly>[^{}\n]{1,128})\}{1,2}"
    r"|(?P<bare>[\w+/.$#@%^*~!\-][^\s\"'`<>(){}\[\],;]{0,255})"
)
_WORDS: Final = re.compile(r"[a-z]+")
_OPENING: Final = "(\"'`["
_BEFORE_REACH: Final = 24
_AFTER_ASCII: Final = re.compile(r"[^!-~]")
_QUOTED: Final = frozenset({"double", "single", "tick"})
_TRAILING: Final = ".,;:!?"
_BEFORE: Final = re.compile(
    r"(?:\"(?P<double>[^\"\n]{1,96})\"|'(?P<single>[^'\n]{1,96})'|`(?P<tick>[^`\n]{1,96})`|(?<![\w.\-])(?P<bare>[\w.\-]{0,32}\d[\w.\-]{0,32}))"
    r" (?:(?:is|was)(?: (?:given|entered|sent|used|submitted|provided|passed|tried) (?:as|for))?|as|for|ist|est|es)"
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
_SIGN_AND_BLANKS: Final = re.compile(_KEY_VALUE.pattern + r"[ \t]{0,4}")
_MIN_DIGITS: Final = 4


class _Candidate(NamedTuple):
    """A value that may belong to a name."""

    kind: str
    start: int
    end: int
    link: Connection


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
        self._names = NamesInText(keys, grammar)
        self.words = self._names.words
        """Parts of names: a text without any of them is not read."""
        self._pairs = CredentialPairs(keys, shapes, grammar)
        self._max_words = grammar.max_words
        self._words = WordsBetween(grammar)
        self._checks = self._words.complaints.union(grammar.checks)
        self._label = re.compile(
            rf"(?i)(?<![\w\-])(?:{'|'.join(map(re.escape, grammar.labels))})[ ]?[:=][ ]{{0,2}}"
        )
        self._aside = AsideFinder(keys, shapes, grammar)

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        names = list(self._names(text))
        for name, following in itertools.zip_longest(names, names[1:]):
            before = self._before(text, name)
            if before is not None:
                yield before
            if aside := self._aside.value_of(text, name):
                yield aside
            if self._pairs.is_of_pair(text, name) and (pair := self._pairs.secret_of(text, name)):
                yield pair
                continue
            yield from self._after(text, name, following.start if following else len(text))

    def _about(self, text: str, name: NameInText) -> str:
        """Return the next word if it makes the name one about the secret, as in `token type`, else an empty text."""
        word = _NEXT_WORD.match(text, name.end)
        lower = word[1].lower() if word else ""
        return lower if self._keys.is_descriptive(lower) and lower not in self._words.connectors else ""

    def _after(self, text: str, name: NameInText, limit: int) -> Iterator[Hit]:
        """Yield the value, and a second one next to it. Words are read up to `limit`, where the next name starts."""
        candidates = self._candidates(text, name, limit)
        if name.rule not in NUMBERS and (labelled := self._labelled_value(text, name, limit)):
            candidates = itertools.chain(candidates, [labelled])
        for candidate in candidates:
            if self._is_secret(text, name, candidate):
                yield Hit(candidate.start, candidate.end, name.rule)
                other = _OTHER.match(text, candidate.end)
                second = self._candidate(text, other.end(), name, Connection.SAID) if other else None
                if second is not None and self._is_secret(text, name, second):
                    yield Hit(second.start, second.end, name.rule)
                return

    def _candidates(self, text: str, name: NameInText, limit: int) -> Iterator[_Candidate]:
        """Yield what may be the value: right behind the name, and behind each of the next words that lets one follow."""
        if limit <= name.end:
            return
        end = closing_quote(text, name)
        adjacent = self._adjacent(text, name, end)
        if adjacent is not None:
            yield adjacent
        walk = self._walk(text, name, end)
        if walk is None:
            return
        for _ in range(self._max_words + 1):
            sign = _SIGN.match(text, walk.position)
            mark = sign.group().strip() if sign else ""
            is_list = mark == "," and name.end != end and walk.position == end  # `'password', 'token'`
            if sign is None or is_list:
                return
            yield from self._candidates_at(text, sign.end(), name, walk, said(walk.link, mark), bool(mark))
            word = _WORD.match(text, sign.end())
            if (
                word is None
                or word.end() > limit
                or mark not in _PASSED_MARKS
                or word[0][-1] in _SENTENCE_END
            ):
                return
            self._words.step(walk, word)

    def _labelled_value(self, text: str, name: NameInText, limit: int) -> _Candidate | None:
        """Return the value that a word with a sign announces in the rest of a message, as in `too short. Value: …`."""
        label = self._label.search(text, name.end, min(limit, name.end + _REACH))
        if label is None or self._checks.isdisjoint(_WORDS.findall(text[name.end : label.start()].lower())):
            return None
        return self._candidate(text, label.end(), name, Connection.FAR)

    def _adjacent(self, text: str, name: NameInText, end: int) -> _Candidate | None:
        """Return the value behind a name in a script without blanks, or behind a spoken name and a sign."""
        if not name.name.isascii():
            start = _AFTER_FOREIGN.match(text, end)
        else:
            start = _SIGN_AND_BLANKS.match(text, end) if name.spoken else None
        if start is None:
            return None
        if (
            not name.name.isascii()
            and not _SIGNS.isdisjoint(start.group())
            and (bare := _BARE_WORD.match(text, start.end()))
        ):
            return _Candidate("bare", bare.start(), bare.end(), Connection.SAID)
        return self._candidate(text, start.end(), name, Connection.SAID)

    def _walk(self, text: str, name: NameInText, end: int) -> Walk | None:
        """Return where the words behind a name begin; None: they are about something else."""
        walk = Walk(end)
        if name.rule in MISTYPED:
            before = text[max(0, name.start - _BEFORE_REACH) : name.start].lower().split()
            walk.mistyped = not self._words.complaints.isdisjoint(before)
        if about := self._about(text, name):
            if about not in self._checks or (name.rule in NUMBERS and name.rule not in MISTYPED):
                return None
            walk.link, walk.opens = Connection.FAR, False
        elif sign := _KEY_VALUE.match(text, end):
            walk.position, walk.link, walk.opens = sign.end(), Connection.FAR, False
        return walk

    def _candidates_at(
        self, text: str, start: int, name: NameInText, walk: Walk, link: Connection, is_signed: bool
    ) -> Iterator[_Candidate]:
        if name.rule in MISTYPED and (candidate := self._mistyped(text, start, name, link)):
            pivot = walk.opens and link is Connection.FAR
            after = text[candidate.end : candidate.end + _BEFORE_REACH].lower().split()
            if walk.mistyped or pivot or not self._words.complaints.isdisjoint(after):
                yield candidate
        if not walk.opens or (candidate := self._candidate(text, start, name, link)) is None:
            return
        if is_signed or not walk.needs_sign or candidate.kind != "bare":
            yield candidate

    def _candidate(self, text: str, start: int, name: NameInText, link: Connection) -> _Candidate | None:
        """Return the value that starts there, without what encloses it."""
        value = _VALUE.match(text, start)
        if value is None or (value[0][0] == "[" and MARKER.match(text, value.start())):
            return None
        kind = value.lastgroup or "bare"
        first, end = value.span(kind)
        inner = value[kind]
        if kind == "bare":
            number = NUMBERS.get(name.rule)
            if number is not None:
                found = number.match(text, first)
                return _Candidate(kind, first, found.end(), link) if found else None
            shown = inner if name.name.isascii() else _AFTER_ASCII.split(inner, maxsplit=1)[0]
            end = first + len(shown.rstrip(_TRAILING))
        elif inner[0].isspace() or inner[-1].isspace():
            first, end = first + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
        return _Candidate(kind, first, end, link) if end > first else None

    def _mistyped(self, text: str, start: int, name: NameInText, link: Connection) -> _Candidate | None:
        """Return the number that starts there and that the text calls malformed."""
        number = MISTYPED.get(name.rule)
        opening = start + (text[start : start + 1] in _OPENING)
        found = number.match(text, opening) if number else None
        return _Candidate("mistyped", found.start(), found.end(), link) if found else None

    def _is_secret(self, text: str, name: NameInText, candidate: _Candidate) -> bool:
        """Return whether a value looks like a secret, as much as its link with the name demands."""
        value = text[candidate.start : candidate.end]
        if self._shapes.is_ordinary_word(value) or self._keys.is_benign(name.name, name.verdict, value):
            return False
        if name.rule not in NEVER_SHOWN and TRUNCATED.fullmatch(value):
            return False
        if (
            MARKER.match(value)
            or self._shapes.is_measured(text, candidate.end)
            or _precedes_marker(text, value, candidate)
        ):
            return False
        if name.name.isascii() and name.name.lower() in value.lower():  # `password (servicePassword)`
            return False
        if candidate.kind == "mistyped":
            return True
        if name.rule in NUMBERS:
            return candidate.kind == "bare" or bool(NUMBERS[name.rule].fullmatch(value)) or is_code(value)
        if candidate.kind in _QUOTED and not name.everyday:
            return any(map(str.isalnum, value)) and is_quoted_secret(name, value, candidate.link)
        if self._shapes.is_named(value) or "=" in value.rstrip("="):
            return not name.name.isascii() and value.isdigit() and len(value) >= _MIN_DIGITS
        if candidate.kind in _QUOTED:
            return is_quoted_secret(name, value, candidate.link)
        return is_bare_secret(name, value, candidate.kind, candidate.link)

    def _before(self, text: str, name: NameInText) -> Hit | None:
        """Return the value of `… is your verification code` and the like."""
        if not _LINK_BEFORE.search(text, max(0, name.start - _REACH), name.start):
            return None
        value = _BEFORE.search(text, max(0, name.start - _REACH), name.start)
        if value is None or value.lastgroup is None:
            return None
        candidate = _Candidate(value.lastgroup, *value.span(value.lastgroup), Connection.SAID)
        if candidate.kind == "bare" and not may_precede(text, name, candidate.start, candidate.end):
            return None
        found = self._is_secret(text, name, candidate)
        return Hit(candidate.start, candidate.end, name.rule) if found else None


def _precedes_marker(text: str, value: str, candidate: _Candidate) -> bool:
    """Return whether a value is the name of one that is redacted, as in `card 4111password=[redacted:password]`."""
    return value[-1] == "=" and MARKER.match(text, candidate.end) is not None
