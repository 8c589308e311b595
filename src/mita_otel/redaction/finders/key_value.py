"""A name, a sign and a value: `password=…`, `"card": {…}`, `Key (account_number)=(…)`, `api key: …`."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.value_bounds import (
    ValueShapes,
    bare_end,
    bracket_close,
    has_digit,
    is_distinct,
    looks_random,
    quoted_end,
)
from mita_otel.redaction.key_words import split_words
from mita_otel.redaction.keys import PLAIN, KeyRules, KeyVerdict
from mita_otel.redaction.marker import MARKER, NEVER_SHOWN, TRUNCATED

_PAIR: Final = re.compile(
    r"(?<![^\W\d])-{0,2}(?P<name>[^\W\d][\w.\-]*)(?P<close>(?:\[[\w'\"]*\])*(?:\"\"|\*{1,2}|\\*[\"'`]?)[)\]]?)"
    r"[ \t]{0,4}(?P<sign>=>|:=|={1,3}|!={1,2}|:)(?P<gap>[ \t]{0,4}\n?[ \t]{0,8})"
    r"(?:(?<=: )(?:!!\w{1,16} |&\w{1,16} (?=\S))|(?<=> )string\(\d{1,6}\) )?"
)
"""Before the value there may be a tag or an anchor of YAML, or a type of PHP's dumps."""
_NEXT_SIGN: Final = re.compile(r"[ \t]{1,4}[=:][ \t]")
_HEX_GROUP: Final = re.compile(r"[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:")
_WORDS_BEFORE: Final = re.compile(r"(?:[^\W_][^\W_\-]*[ \-]){1,3}\Z")
_REACH: Final = 48
"""Characters before a name in which its other words may occur."""
_SOURCE: Final = re.compile(
    r'^[ \t]*File "[^"\n]*", line \d+[^\n]*((?:\n {4,}(?! *File ")[^\n]*)+)', re.MULTILINE
)
_PLACEHOLDER: Final = re.compile(
    r"(?:[*x.#\-?$%]+|\$\d{1,2}|\w{1,32}\([\"']?\*+[\"']?\)|\$?\{\{[ ]?[a-zA-Z_.]*(?: ?\|[^{}\n]{0,64})?[ ]?\}\}|%[sdr]|%\(\w+\)[sd]?|\$?\{[a-zA-Z_.]*\}|\[(?i:filtered|redacted|hidden|masked)\]|<(?i:redacted|hidden)>)(?=[\s,;&)\]}\"']|\Z)"
)
"""What shows nothing: redacted before, or a placeholder."""
_SCHEMES: Final = frozenset(
    {"basic", "bearer", "digest", "ntlm", "negotiate", "oauth", "oauth2", "apikey", "token"}
)
_TRIPLE: Final = ('"""', "'''")
_CODE: Final = re.compile(
    r"(?:await |new )?(?:[A-Za-z_]{1,32}\.){0,4}(?:(?:get|fetch|load|read|create|make|generate|decrypt|derive|find)[A-Za-z_]{0,32}"
    r"\((?:[A-Za-z_.]{0,32}|[\"'][A-Za-z_\-]{0,32}[\"'])\)|[A-Za-z_]{1,32}\(\)"
    r"|(?:Column|mapped_column|[A-Z][a-z]{0,16}Field|Field|Depends|Form|Body|Query|Header|Cookie)\([^\"'\n]{0,128}\)|environ\[[\"'][A-Za-z_]{1,64}[\"']\])(?=[;,)\s]|\Z)"
    r"|(?:self|this|request|req|form|data|config|settings|args|params|body|event|props|options|ctx|context)(?:\.[A-Za-z_]{1,32}){1,4}(?=[;,)\s]|\Z)"
)
"""A member, or a call that returns a value, in a line of source code."""
_CODES: Final = frozenset({"pin", "cvv", "otp"})
_NUMBERS: Final = frozenset({"ssn", "pan", "account", "routing", "otp"})
_MORE_DIGITS: Final = re.compile(r"(?:[ \-]\d{2,6}(?!\w)){1,6}")
"""Further groups of a number."""
_NO_VALUES: Final = frozenset({"none", "null", "true", "false", "nil", "undefined"})


class _Pair(NamedTuple):
    """A sensitive name with a sign behind it."""

    name: str
    verdict: KeyVerdict
    rule: str
    start: int
    """Where the value starts."""
    in_sentence: bool
    """True for `password: …`: the colon may also continue a sentence."""
    below: bool
    """True where the value starts on the next line."""
    in_source: bool
    """True in a line of source code, where a bare word is a variable, not a value."""


class KeyValueFinder:
    """Finds the values of sensitive names that a sign follows.

    Args:
        keys: Which names are sensitive.
        shapes: Which values are ordinary words.
        source: Whether texts are lines of source code.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes, *, source: bool = False) -> None:
        self._keys = keys
        self._shapes = shapes
        self._source = source

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values, without their quotes, so that a JSON text stays one."""
        if "=" not in text and ":" not in text:
            return
        source = [match.span(1) for match in _SOURCE.finditer(text)] if 'File "' in text else []
        done = 0
        for match in _PAIR.finditer(text):
            if match.start() < done or match.end() >= len(text) or _is_no_name(text, match):
                continue
            pair = self._pair(text, match, in_source=self._source or _is_within(source, match.start()))
            hit = self._value(text, match, pair) if pair else None
            if pair and hit and self._is_secret(text, pair, hit):
                done = hit.end
                yield hit

    def _pair(self, text: str, match: re.Match[str], *, in_source: bool) -> _Pair | None:
        """Return the pair if its name is sensitive, with the words before it or alone."""
        name = match["name"] + match["close"]
        verdict = self._keys.judge(name)
        if verdict.rule is None or verdict.common:
            verdict = self._with_words_before(text, match, verdict)
        if verdict.rule is None or MARKER.match(text, match.end()):
            return None
        return _Pair(
            name=name,
            verdict=verdict,
            rule=verdict.rule,
            start=match.end(),
            in_sentence=match["sign"] == ":" and not match["close"].strip("])*"),
            below="\n" in match["gap"],
            in_source=in_source and text[match.start() - 1 : match.start()] not in ("?", "&"),
        )

    def _with_words_before(self, text: str, match: re.Match[str], verdict: KeyVerdict) -> KeyVerdict:
        """Return the verdict on a name of several words, as in `security code: …`."""
        before = _WORDS_BEFORE.search(text, max(0, match.start() - _REACH), match.start())
        if before is None:
            return verdict
        words = (*split_words(before.group()), *split_words(match["name"]))
        phrase, _ = self._keys.phrase_verdict(words, least=2)
        if phrase.rule is not None:
            return phrase
        return PLAIN if self._keys.is_harmless_phrase(words) else verdict

    def _value(self, text: str, match: re.Match[str], pair: _Pair) -> Hit | None:
        """Return where the value is, whatever it says; None if it shows nothing or is no value."""
        if text.startswith('""', pair.start) and '""' in match["close"]:  # as in a field of CSV
            end = text.find('""', pair.start + 2)
            return Hit(pair.start + 2, end, pair.rule) if end > pair.start + 2 else None
        if text.startswith(_TRIPLE, pair.start):
            end = text.find(text[pair.start : pair.start + 3], pair.start + 3)
            return self._quoted(text, pair, pair.start + 3, len(text) if end < 0 else end)
        quoted = quoted_end(text, pair.start)
        if match["sign"][0] == "!" and (quoted is None or quoted[2] >= len(text) > quoted[1]):
            return None
        if quoted is not None:
            return self._quoted(text, pair, quoted[0], quoted[1])
        if text[pair.start] in "([{":
            return self._bracketed(text, pair)
        is_code = _PLACEHOLDER.match(text, pair.start) or _CODE.match(text, pair.start)
        return None if is_code else self._bare(text, pair)

    def _quoted(self, text: str, pair: _Pair, start: int, end: int) -> Hit | None:
        value = text[start:end]
        if end == len(text) and not any(map(str.isalnum, value)):  # the quote closes what is around the name
            return None
        if not value or MARKER.fullmatch(value) or _is_truncated(pair.rule, value):
            return None
        is_literal = pair.in_source and pair.rule != "key"  # `token: "…"` in a line of source code
        if pair.in_sentence and pair.verdict.common and not is_literal and not is_distinct(value):
            return None
        return Hit(start, end, pair.rule)

    def _bracketed(self, text: str, pair: _Pair) -> Hit | None:
        if pair.in_source or _PLACEHOLDER.match(text, pair.start):
            return None
        close = bracket_close(text, pair.start)
        inner = Hit(pair.start + 1, len(text) if close is None else close - 1, pair.rule)
        return inner if inner.end > inner.start else None

    def _bare(self, text: str, pair: _Pair) -> Hit | None:
        end = bare_end(text, pair.start)
        value = text[pair.start : end]
        if value.isdigit() and pair.rule in _NUMBERS and (more := _MORE_DIGITS.match(text, end)):
            end = more.end()
        if _shows_nothing(pair.rule, value) or value == f":{pair.name}":
            return None
        if pair.in_source and not value[0].isdigit():
            return None
        if pair.in_sentence and (pair.below or self._shapes.is_ordinary_word(value)):
            return None
        if pair.in_sentence and pair.verdict.common and not is_distinct(value):
            return None
        return Hit(pair.start, end, pair.rule)

    def _is_secret(self, text: str, pair: _Pair, hit: Hit) -> bool:
        """Return whether the value is one: no count, no reference, and not the name of the next pair (`key: secret = …`)."""
        value = text[hit.start : hit.end]
        if self._keys.is_benign(pair.name, pair.verdict, value):
            return False
        return not (_NEXT_SIGN.match(text, hit.end) and self._keys.judge(value).rule)


def _shows_nothing(rule: str, value: str) -> bool:
    """Return whether a bare value shows nothing."""
    if not value or value.lower() in _NO_VALUES or (rule == "authorization" and value.lower() in _SCHEMES):
        return True
    return bool(_PLACEHOLDER.match(value)) or _is_truncated(rule, value)


def _is_truncated(rule: str, value: str) -> bool:
    return rule not in NEVER_SHOWN and bool(TRUNCATED.fullmatch(value))


def _is_within(stretches: list[tuple[int, int]], position: int) -> bool:
    before = bisect.bisect_right(stretches, (position, position)) - 1
    return before >= 0 and position < stretches[before][1]


def _is_no_name(text: str, match: re.Match[str]) -> bool:
    """Return whether the name is a group of an IPv6 address (`:aba0:`), the rule in a marker, or a function in an ARN."""
    start = match.start()
    if text[start - 1 : start] != ":":
        return False
    return bool(_HEX_GROUP.match(text, start)) or text.endswith(("[redacted:", ":function:"), 0, start)


_SCHEME: Final = re.compile(r"(?i)(?:bearer|basic|digest|token|apikey) \S")
_NAME: Final = re.compile(r"(?P<open>[(\[])b?(?P<quote>[\"'])(?P<name>[\w.\-]{1,64})(?P=quote), ?b?(?=[\"'])")


class QuotedValueFinder:
    """Finds the second of two quoted texts in brackets whose first is a sensitive name.

    Args:
        keys: Which names are sensitive.
    """

    def __init__(self, keys: KeyRules) -> None:
        self._keys = keys

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values, without their quotes."""
        for match in _NAME.finditer(text):
            quoted = quoted_end(text, match.end())
            if quoted is None or text[quoted[2] : quoted[2] + 1] not in (")", "]"):
                continue
            value = text[quoted[0] : quoted[1]]
            if match["open"] == "[" and not has_digit(value) and not _SCHEME.match(value):  # a list of names
                continue
            rule = None if MARKER.fullmatch(value) else self._keys.rule_for(match["name"], value)
            if rule:
                yield Hit(quoted[0], quoted[1], rule)


_CALL: Final = re.compile(
    r"(?<![\w.])(?:\w{1,32}\.)?(?P<name>[A-Za-z]\w{2,63})\((?P<arguments>[^()\n]{3,256})\)"
)
_ARGUMENT: Final = re.compile(
    r"(?<![=\w.\"'])(?:\"(?P<double>[^\"]{3,256})\"|'(?P<single>[^']{3,256})'|(?P<number>\d{3,12})(?![\w.]))"
)
"""A literal that no name precedes."""
_GETTERS: Final = frozenset(
    {
        "get",
        "fetch",
        "load",
        "read",
        "find",
        "lookup",
        "has",
        "is",
        "delete",
        "remove",
        "revoke",
        "require",
        "test",
        "describe",
        "rotate",
    }
)
"""Their argument is the name of a value."""


class CallFinder:
    """Finds the arguments of a function that is called after a secret: `setPassword("…")`, `verify_pin(…)`.

    Args:
        keys: Which names are sensitive.
        shapes: Which values name something.
    """

    def __init__(self, keys: KeyRules, shapes: ValueShapes) -> None:
        self._keys = keys
        self._shapes = shapes

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the arguments, without their quotes."""
        for match in _CALL.finditer(text):
            words = split_words(match["name"])
            verdict, _ = self._keys.phrase_verdict(words)
            if verdict.rule is None or words[0] in _GETTERS:
                continue
            for argument in _ARGUMENT.finditer(text, *match.span("arguments")):
                kind = argument.lastgroup or "number"
                if self._is_secret(verdict, kind, argument[kind], len(words)):
                    yield Hit(*argument.span(kind), verdict.rule)

    def _is_secret(self, verdict: KeyVerdict, kind: str, value: str, words: int) -> bool:
        """Return whether a literal looks like what the function is called after."""
        if kind == "number":
            return verdict.rule in _CODES and words > 1
        if MARKER.match(value):
            return False
        if verdict.common or verdict.rule == "key":
            return looks_random(value)
        return has_digit(value) and not value.isdigit() and not self._shapes.is_named(value)
