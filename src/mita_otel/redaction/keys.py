"""Which names have secret values, and how the values of the others are read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final, Literal, NamedTuple

from mita_otel.policy.redaction import KeyPolicy, Mode
from mita_otel.redaction.marker import MARKER
from mita_otel.redaction.words import Words, split_parts, split_words

Place = Literal["text", "sql"]
"""How a value is read: as any text, as a database statement."""

_MAX_NAME: Final = 512
_MAX_CACHED: Final = 4096
_MIN_NUMBER: Final = 8


class KeyVerdict(NamedTuple):
    """What a name says about its value."""

    rule: str | None
    """The rule that makes the value secret, or None."""
    reference: bool = False
    """True for `account_id`: secret only if the value reads like a number of some length."""
    plural: bool = False
    """True for `tokens`: secret, but a number under it is a count."""
    weak: bool = False
    """True for one common word (`key`, `card`): in prose, it takes more than a colon."""
    place: Place = "text"


PLAIN: Final = KeyVerdict(None)
"""The verdict on a name that says nothing about its value."""


class KeyRules:
    """Judges names by their words.

    Args:
        policy: Names that are sensitive, allowed, harmless or descriptive.
        custom: More sensitive names, by rule. They come first.
        mode: Mode of a rule; one that is off makes no name sensitive.
    """

    def __init__(
        self,
        policy: KeyPolicy,
        custom: Mapping[str, Sequence[str]],
        mode: Callable[[str], Mode],
    ) -> None:
        self._sequences: dict[str, list[tuple[Words, str, bool]]] = {}
        named: dict[Words, str] = {}
        for rule, names in (*custom.items(), *policy.rules.items(), ("key", policy.sensitive)):
            for name in names:
                named.setdefault(split_words(name), rule)
        named = {words: rule for words, rule in named.items() if words and mode(rule) != "off"}
        for words, rule in named.items():
            plural = words[-1].endswith("s") and (*words[:-1], words[-1][:-1]) in named
            for form in {words, ("".join(words),)}:
                self._sequences.setdefault(form[0], []).append((form, rule, plural))
        for sequences in self._sequences.values():
            sequences.sort(key=lambda sequence: -len(sequence[0]))
        self._whole = {split_words(name): rule for name, rule in policy.whole.items() if mode(rule) != "off"}
        self._numbers = {
            split_words(name): rule for name, rule in policy.numbers.items() if mode(rule) != "off"
        }
        self._endings = {ending: rule for ending, rule in policy.endings.items() if mode(rule) != "off"}
        self._weak = {words for words in named if len(words) == 1 and words[0] in _COMMON_WORDS}
        self._allow = {split_words(name) for name in policy.allow}
        self._harmless: dict[str, list[Words]] = {}
        for name in policy.harmless:
            for words in {split_words(name), split_parts(name)}:
                self._harmless.setdefault(words[0], []).append(words)
        self._descriptive = {split_words(name) for name in policy.descriptive}
        self._identifiers = {split_words(name) for name in policy.identifiers}
        self._places: dict[str, Place] = dict.fromkeys(policy.statements, "sql")
        self.stems = _stems([*named, *self._whole, *((ending,) for ending in self._endings)])
        """One of these is in every sensitive name, in lower case."""
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
        if verdict.rule is None or not value.strip():
            return None
        if (verdict.reference and not reads_like_number(value)) or (verdict.plural and value.isdigit()):
            return None
        return verdict.rule

    def judge_phrase(self, words: Words) -> str | None:
        """Return the rule of a phrase of prose that ends in a sensitive name of several words."""
        for start in range(len(words) - 1):
            for sequence, rule, _ in self._sequences.get(words[start], ()):
                if len(sequence) > 1 and words[start:] == sequence:
                    return rule
        return None

    def _judge(self, name: str) -> KeyVerdict:
        if "[redacted:" in name:
            name = MARKER.sub("", name)
        place = self._places.get(name.lower(), "text")
        words = split_words(name)
        if words in self._allow or words in self._harmless.get(words[0] if words else "", ()):
            return PLAIN if place == "text" else KeyVerdict(None, place=place)
        found = self._match(words)
        if found is None:
            found = self._match(split_parts(name)) or self._ends(words) or self._is_whole(words)
        if found is not None and found is not PLAIN:
            return found._replace(place=place)
        return PLAIN if place == "text" else KeyVerdict(None, place=place)

    def _match(self, words: Words) -> KeyVerdict | None:
        """Return the verdict on the words; `PLAIN` if what they name is only described, None if they name nothing."""
        while words and words[-1].isdigit() and len(words) > 1 and not self._ends_sequence(words):
            words = words[:-1]
        if any(map(str.isdigit, words)) and not self._ends_sequence(words):  # `cards[0].number`
            words = tuple(word for word in words if not word.isdigit())
        best: KeyVerdict | None = None
        for start, word in enumerate(words):
            for sequence, rule, plural in self._sequences.get(word, ()):
                end = start + len(sequence)
                if words[start:end] != sequence or self._is_harmless(words, start, end):
                    continue
                rest = words[end:]
                if rest and (rest[-1:] in self._descriptive or rest[-2:] in self._descriptive):
                    best = best or PLAIN
                    break
                reference = bool(rest) and rest[-1:] in self._identifiers
                weak = sequence in self._weak and len(words) == 1
                verdict = KeyVerdict(rule, reference, plural and not rest, weak)
                if best is None or best is PLAIN or (best.reference and not reference) or len(sequence) > 1:
                    best = verdict
                break
        return best

    def _ends(self, words: Words) -> KeyVerdict | None:
        """Return the verdict on a name that ends in a word like `pgpassword`."""
        for ending, rule in self._endings.items():
            if words and words[-1].endswith(ending):
                return KeyVerdict(rule)
        return None

    def _is_whole(self, words: Words) -> KeyVerdict | None:
        """Return the verdict on a name that is secret as it stands, as `pass`, but not as a part of another."""
        if rule := self._numbers.get(words):
            return KeyVerdict(rule, reference=True)
        rule = self._whole.get(words) or self._whole.get(words[-1:])
        return KeyVerdict(rule, plural=True, weak=len(words) == 1) if rule else None

    def is_harmless_phrase(self, words: Words) -> bool:
        """Tell whether words of prose end in a harmless name, as in `score card`."""
        return bool(words) and self._is_harmless(words, len(words) - 1, len(words))

    def _ends_sequence(self, words: Words) -> bool:
        return any(
            words[-len(sequence) :] == sequence
            for start in range(len(words))
            for sequence, _, _ in self._sequences.get(words[start], ())
        )

    def _is_harmless(self, words: Words, start: int, end: int) -> bool:
        """Tell whether a harmless name covers a part of the words from `start` to `end`."""
        return any(
            first + len(harmless) > start and words[first : first + len(harmless)] == harmless
            for first in range(end)
            for harmless in self._harmless.get(words[first], ())
        )


def reads_like_number(value: str) -> bool:
    """Tell whether the value of a reference (`account_id`) reads like an account number: eight digits or more."""
    digits = sum(char.isdigit() for char in value)
    return digits >= _MIN_NUMBER and all(char.isdigit() or char in " -." for char in value)


def _stems(names: Iterable[Words]) -> tuple[str, ...]:
    """Return the fewest words of which each name holds one."""
    listed = sorted(names, key=len)
    stems: list[str] = []
    for words in listed:
        if not any(stem in word for stem in stems for word in words):
            stems.append(max(words, key=len))
    return tuple(sorted(stem for stem in stems if not any(other in stem for other in stems if other != stem)))


_COMMON_WORDS: Final = frozenset(
    {"key", "card", "account", "token", "pin", "secret", "sin", "tin", "salt", "seed"}
)
