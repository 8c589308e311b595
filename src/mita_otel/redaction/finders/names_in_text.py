"""Where sensitive names occur in a text: as an identifier, as a phrase of several words, in any script."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from mita_otel.policy.redaction import GrammarPolicy
from mita_otel.redaction.key_words import Words, split_words
from mita_otel.redaction.keys import KeyRules, KeyVerdict

_IDENTIFIER: Final = re.compile(r"[\w.\-]*\w")
_IDENTIFIER_CHARS: Final = frozenset("_-.")
_WORD_AFTER: Final = re.compile(r"[ \-][^\W\d_][\w\-]*")
_WORD_CHARS: Final = 24
"""Longest word before a name that is read."""
_QUOTES: Final = ("'", '"', "`")
_SPOKEN_GAP: Final = r"(?:[ \-]| ?[(\[])"
_REACH: Final = 96
_VERB_AFTER: Final = re.compile(r"\s[^\s]{1,64} (?:to|through|into|onto|along|on|as|by)\b")
"""After `pass` and its object: it is a verb, as in `pass a1b2c3d4 to the handler`."""
_MAX_PHRASES: Final = 2048
_MAX_WORDS: Final = 3
"""Words before and after an identifier that may belong to the name."""


class NameInText(NamedTuple):
    """A sensitive name in a text."""

    start: int
    end: int
    name: str
    verdict: KeyVerdict
    rule: str
    spoken: bool = False
    """Whether it is a name in sentences only: no other finder knows it."""

    @property
    def everyday(self) -> bool:
        """Whether the name is an everyday word or a plural, so that its value has to look like a secret."""
        return self.verdict.common or self.verdict.plural


class NamesInText:
    """Finds sensitive names.

    Args:
        keys: Which names are sensitive.
        grammar: Names that are sensitive in sentences only.
    """

    def __init__(self, keys: KeyRules, grammar: GrammarPolicy) -> None:
        self._keys = keys
        self._spoken_rules = grammar.spoken
        self._spoken = {
            name: re.compile(_SPOKEN_GAP.join(map(re.escape, name.split()))) for name in grammar.spoken
        }
        self._owned = frozenset(grammar.owned)
        self.words = (*keys.stems, *(name.split()[0] for name in grammar.spoken))
        """Parts of names: a text without any of them has no name."""
        self._phrases: dict[Words, tuple[bool, KeyVerdict, int]] = {}
        """Phrases that were judged before. Bounded; a phrase holds words of names only."""

    def __call__(self, text: str) -> Iterator[NameInText]:
        """Yield the names in order of their position. Linear: each identifier is judged once."""
        lower = text.lower()
        spoken = self._spoken_names(lower)
        end = 0
        for position, stem in self._occurrences(lower, spoken):
            if position < end:
                continue
            if stem in self._keys.foreign:
                end = position + len(stem)
                rule = self._keys.foreign[stem]
                yield NameInText(position, end, text[position:end], KeyVerdict(rule), rule)
                continue
            if position in spoken and (name := self._as_spoken(text, lower, position, spoken[position])):
                end = name.end
                yield name
                continue
            found = self._at(text, self._start(text, position, end))
            end = max(end, found[0])
            if found[1] is not None:
                yield found[1]

    def _spoken_names(self, lower: str) -> dict[int, str]:
        """Return the names of sentences by position."""
        found: dict[int, str] = {}
        for name, pattern in self._spoken.items():
            if name.split()[0] in lower:
                found.update((match.start(), name) for match in pattern.finditer(lower))
        return found

    def _occurrences(self, lower: str, spoken: Mapping[int, str]) -> list[tuple[int, str]]:
        """Return the positions of stems: each sensitive name contains one."""
        found: list[tuple[int, str]] = list(spoken.items())
        for stem in self._keys.stems:
            position = lower.find(stem)
            while position >= 0:
                found.append((position, stem))
                position = lower.find(stem, position + len(stem))
        found.sort(key=lambda one: (one[0], -len(one[1])))
        return found

    def _as_spoken(self, text: str, lower: str, start: int, name: str) -> NameInText | None:
        """Return a name of sentences, if it is a separate word. After some words, as `user ada`, it is a noun."""
        match = self._spoken[name].match(lower, start)
        end = match.end() if match else start
        if (
            _part_of_word(text, start - 1)
            or _part_of_word(text, end)
            or _VERB_AFTER.match(lower[end : end + _REACH])
        ):
            return None
        before = lower[max(0, start - _WORD_CHARS) : start].split()[-2:]
        is_noun = " " in name or bool(self._owned.intersection(before))
        rule = self._spoken_rules[name]
        return NameInText(
            start, end, text[start:end], KeyVerdict(rule, common=not is_noun), rule, spoken=True
        )

    def _start(self, text: str, position: int, least: int) -> int:
        """Return where the identifier begins that the position is in."""
        while position > least and (text[position - 1].isalnum() or text[position - 1] in _IDENTIFIER_CHARS):
            position -= 1
        return position

    def _at(self, text: str, start: int) -> tuple[int, NameInText | None]:
        """Return where the identifier or phrase at `start` ends, and what it names."""
        identifier = _IDENTIFIER.match(text, start)
        if identifier is None:
            return start + 1, None
        own = split_words(identifier.group())
        if not own:
            return identifier.end(), None
        before = self._words_before(text, start, own[0])
        ends = self._words_after(text, identifier.end(), own)
        for end, words in reversed(ends):
            is_harmless, verdict, size = self._phrase((*before, *words))
            if is_harmless:
                return end, None
            if verdict.rule is not None and size > len(words) - len(own):
                return end, NameInText(start, end, text[start:end], verdict, verdict.rule)
        return identifier.end(), self._identifier(text, start, identifier.end())

    def _phrase(self, words: Words) -> tuple[bool, KeyVerdict, int]:
        """Return whether words end in a harmless name, and the verdict on the name that they end in. Remembered."""
        known = self._phrases.get(words)
        if known is None:
            if len(self._phrases) >= _MAX_PHRASES:
                self._phrases.clear()
            known = (self._keys.is_harmless_phrase(words), *self._keys.phrase_verdict(words))
            self._phrases[words] = known
        return known

    def _words_before(self, text: str, start: int, word: str) -> Words:
        """Return the words before an identifier that belong to a known name."""
        words: Words = ()
        for _ in range(_MAX_WORDS):
            end = start - 1
            if end <= 0 or text[end] not in " -":
                break
            start = end
            while start > 0 and end - start < _WORD_CHARS and text[start - 1].isalnum():
                start -= 1
            before = split_words(text[start:end])
            if not before or (before[-1], word) not in self._keys.neighbours:
                break
            words, word = (*before, *words), before[0]
        return words

    def _words_after(self, text: str, end: int, own: Words) -> list[tuple[int, Words]]:
        """Return where an identifier ends, alone and with the next words that follow it in some name."""
        ends = [(end, own)]
        while len(ends) <= _MAX_WORDS and (match := _WORD_AFTER.match(text, ends[-1][0])):
            words = split_words(match.group())
            if not words or (ends[-1][1][-1], words[0]) not in self._keys.neighbours:
                break
            ends.append((match.end(), (*ends[-1][1], *words)))
        return ends

    def _identifier(self, text: str, start: int, end: int) -> NameInText | None:
        """Return the identifier if it is a sensitive name with one more word at most, as `password_hash`."""
        name = text[start:end]
        verdict = self._keys.judge(name)
        words = split_words(name)
        ends_in_name = any(self._keys.phrase_verdict(part)[1] for part in (words, words[:-1]))
        if verdict.rule is None or not ends_in_name or not (name.islower() or "_" in name):
            return None
        return NameInText(start, end, name, verdict, verdict.rule)


def _part_of_word(text: str, position: int) -> bool:
    """Return whether the character there, if any, continues a word or an identifier."""
    return 0 <= position < len(text) and (text[position].isalnum() or text[position] in _IDENTIFIER_CHARS)


def closing_quote(text: str, name: NameInText) -> int:
    """Return where the name ends, with the quote that closes it."""
    quote = text[name.start - 1 : name.start]
    return name.end + (quote in _QUOTES and text.startswith(quote, name.end))
