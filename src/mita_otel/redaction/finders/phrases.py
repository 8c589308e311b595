"""Names and values that stand side by side without a sign between them: prose, tuples, options, form parts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Hit
from mita_otel.redaction.finders.quoting import quoted_end
from mita_otel.redaction.keys import KeyRules
from mita_otel.redaction.marker import MARKER

_TAG: Final = re.compile(
    r"<(?:[\w\-]+:)?(?P<name>[A-Za-z][\w.\-]*)(?:\s[^<>]*)?>(?:<!\[CDATA\[)?(?P<value>[^<]+?)(?:\]\]>)?</"
)
_ELEMENTS: Final = (
    re.compile(
        r"\bname=\\?[\"'](?P<name>[\w.\-\[\]]{1,64})\\?[\"']\s{1,4}value=\\?[\"'](?P<value>[^\"'<>\\]{1,512})"
    ),
    re.compile(
        r"\bvalue=\\?[\"'](?P<value>[^\"'<>\\]{1,512})\\?[\"']\s{1,4}name=\\?[\"'](?P<name>[\w.\-\[\]]{1,64})"
    ),
    re.compile(r"\bname=[\"'](?P<name>[\w.\-]{1,64})[\"'][^<>]{0,64}>(?P<value>[^<]+)</"),
)
"""Elements of XML and HTML that name a value in an attribute."""
_OPTION: Final = re.compile(r"(?<![\w\-])--(?P<name>[A-Za-z][\w\-]+) +(?![-\s])(?P<value>\S+)")
_TUPLE: Final = re.compile(r"\(b?[\"']([\w.\-]{1,64})[\"'], ?b?(?=[\"'])")
_PART: Final = re.compile(
    r"\bname=\"?(?P<name>[^\"\r\n;]{1,128})\"?(?:;[^\r\n]{0,256})?\r?\n(?:[A-Za-z\-]{1,32}:[^\r\n]{0,256}\r?\n){0,4}\r?\n(?P<value>[^\r\n]+)"
)
_NOUN: Final = (
    r"(?i)(?<![a-z])(?P<name>password|passwd|passphrase|passcode|pwd|secret|token|otp|(?:api|access|secret)[ _\-]?key"
    r"|(?:verification|one[ \-]time|2fa|mfa|sms|login) ?code)"
)
_IS: Final = re.compile(
    _NOUN
    + r"(?P<between>(?:[ \t]{1,4}(?:is|was|are|set|reset|changed|now|to|entered|used|for|given|as|of|\w{1,32}(?= (?:is|was) ))){0,4}"
    r"[ \t]{0,4}(?:[=:\-]?>|\u2192|:)?)[ \t]{1,4}"
    r"(?:\"(?P<quoted>[^\"\n]+)\"|'(?P<single>[^'\n]+)'|(?P<bare>[^\s\"'<>(){}\[\]]*[0-9][^\s\"'<>(){}\[\]]*))"
    r"(?!\w)(?! ?(?:bytes?|chars?|characters|bits?|ms|seconds?|minutes?|hours?|days?|times|attempts?|users?|%))"
)
_WORDLIKE: Final = re.compile(
    r"(?i)(?:md5|sha-?\d+|oauth2?|base(?:32|64)|[hrep]s(?:256|384|512)|utf-?8|x509|pbkdf2|argon2\w*|k8s|v?\d{1,3}(?:\.\d{1,6}){0,4}"
    r"|h?otp|t?otp|[12]fa|ipv[46]|http/?[123]|oidc|pkce|s256|ed25519|aes\d*|rsa\d*|19\d\d|20\d\d)"
)
"""Bare words with a digit that are no secrets."""
_NAMED: Final = re.compile(r"(?<![\w.\-])([A-Za-z]+[_\-][\w\-]+) ([A-Za-z0-9+/_\-]{6,})(?!\w|\.\w)")
_MIN_BARE: Final = 4


class PhraseFinder:
    """Finds the values of sensitive names that stand next to them.

    Args:
        keys: Which names are sensitive.
    """

    def __init__(self, keys: KeyRules) -> None:
        self._keys = keys

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        if "</" in text:
            yield from self._named(_TAG, text)
        if "--" in text:
            yield from self._named(_OPTION, text)
        if "name=" in text:
            for pattern in (_PART, *_ELEMENTS):
                yield from self._named(pattern, text)
        if "(" in text:
            yield from self._tuples(text)
        yield from self._sentences(text)
        for match in _NAMED.finditer(text):
            rule = self._rule(match[1], match[2])
            if rule and any(char.isdigit() for char in match[2]):
                yield Hit(match.start(2), match.end(2), rule)

    def _sentences(self, text: str) -> Iterator[Hit]:
        """Yield the value of `the password for bob is hunter2` and the like."""
        for match in _IS.finditer(text):
            kind = match.lastgroup or ""
            start, end = match.span(kind)
            if kind == "bare":
                end -= text[end - 1] in ".,;:!?"
                value = text[start:end]
                if len(value) < _MIN_BARE or _WORDLIKE.fullmatch(value) or MARKER.match(value):
                    continue
            elif MARKER.fullmatch(text, start, end):
                continue
            elif not match["between"] and not match["name"].lower().startswith("pass"):
                continue  # `unexpected token '<'`
            yield Hit(start, end, "password")

    def _named(self, pattern: re.Pattern[str], text: str) -> Iterator[Hit]:
        for match in pattern.finditer(text):
            rule = self._rule(match["name"], match["value"])
            if rule:
                yield Hit(*match.span("value"), rule)

    def _tuples(self, text: str) -> Iterator[Hit]:
        """Yield the second of `('password', 'hunter2')`."""
        for match in _TUPLE.finditer(text):
            quoted = quoted_end(text, match.end())
            if quoted is None or text[quoted[2] : quoted[2] + 1] != ")":
                continue
            rule = self._rule(match[1], text[quoted[0] : quoted[1]])
            if rule:
                yield Hit(quoted[0], quoted[1], rule)

    def _rule(self, name: str, value: str) -> str | None:
        return None if MARKER.fullmatch(value) else self._keys.rule_for(name, value)
