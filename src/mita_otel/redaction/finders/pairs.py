"""Names and values inside a text: `password=…`, `"card": {…}`, `Key (account_number)=(…)`, `<cvv>…</cvv>`."""

from __future__ import annotations

import bisect
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.prose import is_prose, is_telling
from mita_otel.redaction.finders.quoting import bare_end, bracket_close, quoted_end
from mita_otel.redaction.keys import KeyRules, reads_like_number
from mita_otel.redaction.marker import MARKER, NEVER_SHOWN, TRUNCATED
from mita_otel.redaction.words import split_words

_PAIR: Final = re.compile(
    r"(?<![^\W\d])-{0,2}(?P<name>[^\W\d][\w.\-]*)(?P<close>(?:\[[\w'\"]*\])*(?:\"\"|\*{1,2}|\\*[\"'`]?)[)\]]?)[ \t]{0,4}(?P<sign>=>|:=|={1,3}|:)(?P<gap>[ \t]{0,4}\n?[ \t]{0,8})"
)
_NEXT_SIGN: Final = re.compile(r"[ \t]{1,4}[=:][ \t]")
_HEX_GROUP: Final = re.compile(r"[0-9a-fA-F]{1,4}:[0-9a-fA-F]{1,4}:")
_PHRASE: Final = re.compile(r"(?:[A-Za-z]+[ ]){1,3}\Z")
_PHRASE_REACH: Final = 48
_SOURCE: Final = re.compile(
    r'^[ \t]*File "[^"\n]*", line \d+[^\n]*((?:\n {4,}(?! *File ")[^\n]*)+)', re.MULTILINE
)

_HIDDEN: Final = re.compile(
    r"(?:[*x.#\-?$%]+|%[sdr]|%\(\w+\)[sd]?|\$?\{[a-zA-Z_.]*\}|\[(?i:filtered|redacted|hidden|masked)\]|<(?i:redacted|hidden)>)(?=[\s,;&)\]}\"']|\Z)"
)
"""What shows nothing: hidden before, or a placeholder."""


class PairFinder:
    """Finds the values of sensitive names in a text.

    Args:
        keys: Which names are sensitive.
        source: Whether texts are lines of source code, where a bare word is a variable, not a value.
    """

    def __init__(self, keys: KeyRules, *, source: bool = False) -> None:
        self._keys = keys
        self._source = source

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values, without their quotes, so that a JSON text stays one."""
        if "=" not in text and ":" not in text:
            return
        source = [match.span(1) for match in _SOURCE.finditer(text)] if 'File "' in text else []
        done = 0
        for match in _PAIR.finditer(text):
            if match.start() < done or _is_no_name(text, match):
                continue
            verdict = self._keys.judge(match["name"] + match["close"])
            rule, phrase = verdict.rule, False
            if rule is None or verdict.weak:
                before = _PHRASE.search(text, max(0, match.start() - _PHRASE_REACH), match.start())
                if before:
                    words = (*split_words(before.group()), *split_words(match["name"]))
                    named = self._keys.judge_phrase(words)
                    phrase = named is not None
                    rule = named or (None if self._keys.is_harmless_phrase(words) else rule)
            if rule is None or match.end() >= len(text) or MARKER.match(text, match.end()):
                continue
            in_source = self._source or _is_within(source, match.start())
            hit = self._value(text, match, rule, weak=verdict.weak and not phrase, in_source=in_source)
            if hit is None or (verdict.reference and not reads_like_number(text[hit.start : hit.end])):
                continue
            if verdict.plural and text[hit.start : hit.end].isdigit():
                continue
            if _NEXT_SIGN.match(text, hit.end) and self._keys.judge(text[hit.start : hit.end]).rule:
                continue  # the value is the name of the next one: `key: secret = …`
            done = hit.end
            yield hit

    def _value(
        self, text: str, match: re.Match[str], rule: str, *, weak: bool, in_source: bool
    ) -> Hit | None:
        start = match.end()
        if text.startswith('""', start) and '""' in match["close"]:  # as in a field of CSV
            end = text.find('""', start + 2)
            return Hit(start + 2, end, rule) if end > start + 2 else None
        prose = match["sign"] == ":" and not match["close"].strip("])*")
        quoted = quoted_end(text, start)
        if quoted is not None:
            first, end, _ = quoted
            value = text[first:end]
            shown = value and not MARKER.fullmatch(value) and not _is_truncated(rule, value)
            return Hit(first, end, rule) if shown and not (weak and prose and not is_telling(value)) else None
        if _HIDDEN.match(text, start) or (in_source and text[start] in "([{"):
            return None
        if text[start] in "([{":
            close = bracket_close(text, start)
            inner = Hit(start + 1, len(text) if close is None else close - 1, rule)
            return inner if inner.end > inner.start else None
        end = bare_end(text, start)
        value = text[start:end]
        if _is_nothing(rule, value) or value == f":{match['name']}" or (in_source and not value[0].isdigit()):
            return None
        if prose and ("\n" in match["gap"] or is_prose(value) or (weak and not is_telling(value))):
            return None
        return Hit(start, end, rule)


_SCHEMES: Final = frozenset(
    {"basic", "bearer", "digest", "ntlm", "negotiate", "oauth", "oauth2", "apikey", "token"}
)


def _is_nothing(rule: str, value: str) -> bool:
    """Tell whether a bare value shows nothing."""
    if rule == "authorization" and value.lower() in _SCHEMES:
        return True
    if not value or value.lower() in ("none", "null", "true", "false", "nil", "undefined"):
        return True
    return bool(_HIDDEN.match(value)) or _is_truncated(rule, value)


def _is_truncated(rule: str, value: str) -> bool:
    return rule not in NEVER_SHOWN and bool(TRUNCATED.fullmatch(value))


def _is_within(stretches: list[tuple[int, int]], position: int) -> bool:
    before = bisect.bisect_right(stretches, (position, position)) - 1
    return before >= 0 and position < stretches[before][1]


def _is_no_name(text: str, match: re.Match[str]) -> bool:
    """Tell whether the name is a group of an IPv6 address (`:aba0:`), the rule in a marker, or a function in an ARN."""
    start = match.start()
    if text[start - 1 : start] != ":":
        return False
    return bool(_HEX_GROUP.match(text, start)) or text.endswith(("[redacted:", ":function:"), 0, start)
