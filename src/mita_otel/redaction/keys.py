"""Which names have secret values: attribute keys, JSON members, columns, parameters, judged word by word."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final, Literal, NamedTuple, TypeVar

from mita_otel.policy.redaction import KeyPolicy, Mode
from mita_otel.redaction.finders.value_bounds import is_complaint
from mita_otel.redaction.key_words import (
    Words,
    contains,
    split_parts,
    split_words,
    stems,
    unglued,
    without_accents,
)
from mita_otel.redaction.marker import MARKER, NEVER_SHOWN

Place = Literal["text", "sql"]
"""How a value is read: as any text, as a database statement."""

_Name = TypeVar("_Name", str, Words)

_MAX_NAME: Final = 512
_MAX_CACHED: Final = 4096
_MIN_NUMBER: Final = 8
_COUNT: Final = re.compile(r"[~$\u20ac\u00a3]?\d[\d,_]*(?:\.\d+)?[kKmM]?")
_RATE: Final = re.compile(r"[$\u20ac\u00a3]?\d{1,6}\.\d{1,12}")
_PATH: Final = re.compile(r"(?:~|\.{1,2}|[A-Za-z]:)?[/\\][\w.\-/\\ ]*")


class KeyVerdict(NamedTuple):
    """What a name says about its value."""

    rule: str | None
    """The rule that makes the value secret, or None."""
    reference: bool = False
    """True for `account_id`: secret only if the value reads like a number of some length."""
    plural: bool = False
    """True for `tokens`: secret, but a number under it is a count."""
    common: bool = False
    """True for one everyday word (`key`, `card`): in a text, it takes more than a colon."""
    place: Place = "text"


PLAIN: Final = KeyVerdict(None)
"""The verdict on a name that does not describe its value."""


class KeyRules:
    """Judges names by their words.

    Args:
        policy: Names that are sensitive, allowed, harmless or descriptive.
        custom: More sensitive names, by rule. They come first.
        mode: Mode of a rule; one that is off makes no name sensitive.
    """

    def __init__(
        self, policy: KeyPolicy, custom: Mapping[str, Sequence[str]], mode: Callable[[str], Mode]
    ) -> None:
        def active(rules: Mapping[_Name, str]) -> dict[_Name, str]:
            return {name: rule for name, rule in rules.items() if mode(rule) != "off"}

        listed = [*custom.items(), *policy.rules.items(), ("key", policy.sensitive)]
        named = active(_rule_by_words(listed))
        self._sequences = _by_first_word(named)
        self._whole = active({split_words(name): rule for name, rule in policy.whole.items()})
        self._numbers = active({split_words(name): rule for name, rule in policy.numbers.items()})
        self._endings = {**active(policy.endings), **_unspaced(named)}
        self._common = {split_words(name) for name in policy.common}
        self._allow = {split_words(name) for name in policy.allow}
        self._harmless = _by_first(policy.harmless)
        self._descriptive = {split_words(name) for name in policy.descriptive}
        self._identifiers = {split_words(name) for name in policy.identifiers}
        self._directories = {split_words(name) for name in policy.directories}
        self._benign_values = frozenset(policy.benign_values)
        self._object_ids = policy.object_ids
        self._glue = frozenset({*policy.glue, *(words[0] for words in named if len(words) == 1)})
        self._glue |= {*self._endings, *("".join(words) for words in self._whole)}
        self._places: dict[str, Place] = dict.fromkeys(policy.statements, "sql")
        self.foreign = _foreign(listed, named)
        """Rules of the names in scripts that write without blanks or with marks, in lower case."""
        self.stems = (*stems([*named, *self._whole, *((one,) for one in self._endings)]), *self.foreign)
        """One of these is in every sensitive name, in lower case."""
        harmless = (words for listed in self._harmless.values() for words in listed)
        self.neighbours = _neighbours([*named, *harmless])
        """Neighbouring words of sensitive and harmless names."""
        self.known: dict[str, KeyVerdict] = {}
        """Names that were judged before. Bounded; for reading only."""

    def judge(self, name: str) -> KeyVerdict:
        """Return what the name says about its value. Answers are remembered, with a bound."""
        verdict = self.known.get(name)
        if verdict is None:
            verdict = self._judge(name[-_MAX_NAME:])
            if len(name) <= _MAX_NAME:
                if len(self.known) >= _MAX_CACHED:
                    self.known.clear()
                self.known[name] = verdict
        return verdict

    def rule_for(self, name: str, value: str) -> str | None:
        """Return the rule that makes this value of this name secret, or None."""
        verdict = self.judge(name)
        return None if verdict.rule is None or self.is_benign(name, verdict, value) else verdict.rule

    def is_benign(self, name: str, verdict: KeyVerdict, value: str) -> bool:
        """Return whether a value is no secret although its name is sensitive: a count, a state, a placeholder, an object's id."""
        stripped = value.strip()
        if not stripped or stripped.lower() in self._benign_values or is_complaint(stripped):
            return True
        if verdict.reference:
            return not reads_like_number(value)
        if (verdict.plural and _COUNT.fullmatch(stripped)) or (
            verdict.rule == "token" and _RATE.fullmatch(stripped)
        ):
            return True
        words = split_words(name)
        is_path = words[-1:] in self._directories and _PATH.fullmatch(stripped)
        if is_path or stripped.startswith(self._object_ids.get(verdict.rule or "", ())):
            return True
        if not (stripped.isascii() and stripped.replace("_", "").isalpha()):
            return False
        return contains(words, split_words(stripped)) and self.judge(stripped).rule is not None

    def phrase_verdict(self, words: Words, *, least: int = 1) -> tuple[KeyVerdict, int]:
        """Return the verdict on the name that words of a text end in, and how many of the words it is.

        Args:
            words: Words of a text, in lower case.
            least: How many words the name has at least.
        """
        for start, word in enumerate(words):
            for sequence, rule, plural in self._sequences.get(word, ()):
                if len(sequence) >= least and words[start:] == sequence:
                    return KeyVerdict(rule, plural=plural, common=sequence in self._common), len(sequence)
        return PLAIN, 0

    def is_harmless_phrase(self, words: Words) -> bool:
        """Return whether words of a text end in a harmless name, as in `score card`."""
        return bool(words) and self._is_harmless(words, len(words) - 1, len(words))

    def is_descriptive(self, word: str) -> bool:
        """Return whether a word after a sensitive name makes it one about the secret, as in `token type`."""
        return (word,) in self._descriptive or (word,) in self._identifiers

    def _judge(self, name: str) -> KeyVerdict:
        if "[redacted:" in name:
            name = MARKER.sub("", name)
        place = self._places.get(name.lower(), "text")
        words = split_words(name)
        verdict = PLAIN if self._is_allowed(words) else self._verdict(name, words)
        return PLAIN if verdict is PLAIN and place == "text" else verdict._replace(place=place)

    def _is_allowed(self, words: Words) -> bool:
        return words in self._allow or words in self._harmless.get(words[0] if words else "", ())

    def _verdict(self, name: str, words: Words) -> KeyVerdict:
        """Return the verdict of the first reading of a name in which something sensitive occurs."""
        for reading in self._readings(name, words):
            verdict = self._match(reading) or self._as_whole(reading)
            if verdict is not None:
                return verdict
        return self._by_ending(words) or PLAIN

    def _readings(self, name: str, words: Words) -> Iterator[Words]:
        """Yield the ways to read a name: `passWord` as two words and as one, `cardcvv` as two."""
        yield words
        yield split_parts(name)
        glued = tuple(part for word in words for part in (unglued(word, self._glue) or (word,)))
        if glued != words:
            yield glued

    def _match(self, words: Words) -> KeyVerdict | None:
        """Return the verdict on the words; `PLAIN` if what they name is only described, None if they name nothing."""
        words = self._without_indices(words)
        best: KeyVerdict | None = None
        for start in range(len(words)):
            verdict, size = self._verdict_at(words, start)
            if verdict is PLAIN:
                best = best or PLAIN
            elif verdict is not None and _outranks(verdict, size, best):
                best = verdict
        return best

    def _verdict_at(self, words: Words, start: int) -> tuple[KeyVerdict | None, int]:
        """Return the verdict on the longest sensitive name that starts there, and how many words it has."""
        for sequence, rule, plural in self._sequences.get(words[start], ()):
            end = start + len(sequence)
            if words[start:end] != sequence or self._is_harmless(words, start, end):
                continue
            rest = words[end:]
            if rest and (rest[-1:] in self._descriptive or rest[-2:] in self._descriptive):
                return PLAIN, len(sequence)
            reference = bool(rest) and rest[-1:] in self._identifiers
            common = len(words) == 1 and sequence in self._common
            return KeyVerdict(rule, reference, plural and not rest, common), len(sequence)
        return None, 0

    def _without_indices(self, words: Words) -> Words:
        """Return the words without numbers that are not part of a sensitive name, as in `cards[0].number`."""
        while len(words) > 1 and words[-1].isdigit() and not self._ends_sequence(words):
            words = words[:-1]
        if any(map(str.isdigit, words)) and not self._ends_sequence(words):
            words = tuple(word for word in words if not word.isdigit())
        return words

    def _as_whole(self, words: Words) -> KeyVerdict | None:
        """Return the verdict on a name that is sensitive as a whole, as `pass`, but not as part of another."""
        if rule := self._numbers.get(words):
            return KeyVerdict(rule, reference=True)
        rule = self._whole.get(words) or self._whole.get(words[-1:])
        return KeyVerdict(rule, plural=True, common=len(words) == 1) if rule else None

    def _by_ending(self, words: Words) -> KeyVerdict | None:
        """Return the verdict on a name that ends in a word like `pgpassword`."""
        for ending, rule in self._endings.items():
            if words and words[-1].endswith(ending):
                return KeyVerdict(rule)
        return None

    def _ends_sequence(self, words: Words) -> bool:
        return any(
            words[start:] == sequence
            for start, word in enumerate(words)
            for sequence in (
                *(one for one, _, _ in self._sequences.get(word, ())),
                *self._harmless.get(word, ()),
            )
        )

    def _is_harmless(self, words: Words, start: int, end: int) -> bool:
        """Return whether a harmless name covers a part of the words from `start` to `end`."""
        return any(
            first + len(harmless) > start and words[first : first + len(harmless)] == harmless
            for first in range(end)
            for harmless in self._harmless.get(words[first], ())
        )


def reads_like_number(value: str) -> bool:
    """Return whether the value of a reference (`account_id`) reads like an account number: eight digits or more."""
    digits = sum(char.isdigit() for char in value)
    return digits >= _MIN_NUMBER and all(char.isdigit() or char in " -." for char in value)


def _rule_by_words(listed: Iterable[tuple[str, Iterable[str]]]) -> dict[Words, str]:
    """Return the rule of each name, by its words. Where several rules list a name, the first one counts."""
    by_words: dict[Words, str] = {}
    for rule, names in listed:
        for name in names:
            by_words.setdefault(split_words(name), rule)
    by_words.pop((), None)
    return by_words


def _by_first_word(named: Mapping[Words, str]) -> dict[str, list[tuple[Words, str, bool]]]:
    """Return sensitive names with their rule, and whether they are a plural, by first word, longest first."""
    sequences: dict[str, list[tuple[Words, str, bool]]] = {}
    for words, rule in named.items():
        plural = words[-1].endswith("s") and (*words[:-1], words[-1][:-1]) in named
        for form in {words, ("".join(words),)}:
            sequences.setdefault(form[0], []).append((form, rule, plural))
    for listed in sequences.values():
        listed.sort(key=lambda sequence: -len(sequence[0]))
    return sequences


def _by_first(names: Iterable[str]) -> dict[str, list[Words]]:
    harmless: dict[str, list[Words]] = {}
    for name in names:
        for words in {split_words(name), split_parts(name)}:
            harmless.setdefault(words[0], []).append(words)
    return harmless


def _unspaced(named: Mapping[Words, str]) -> dict[str, str]:
    """Return the names of one word in other scripts, which others are written in front of without a separator."""
    return {words[0]: rule for words, rule in named.items() if len(words) == 1 and not words[0].isascii()}


def _foreign(listed: Iterable[tuple[str, Iterable[str]]], named: Mapping[Words, str]) -> dict[str, str]:
    return {
        name.lower(): named[split_words(name)]
        for _, names in listed
        for name in names
        if not without_accents(name).isascii() and split_words(name) in named
    }


def _outranks(verdict: KeyVerdict, size: int, best: KeyVerdict | None) -> bool:
    if best is None or best is PLAIN or size > 1 or verdict.rule in NEVER_SHOWN:
        return True
    return best.reference and not verdict.reference


def _neighbours(names: Iterable[Words]) -> frozenset[tuple[str, str]]:
    return frozenset(pair for words in names for pair in itertools.pairwise(words))
