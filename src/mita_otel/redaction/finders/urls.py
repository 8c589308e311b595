"""Secrets that only a URL has: user and password before the host, signed values, numbers as path segments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.sentence_values import is_varied
from mita_otel.redaction.finders.value_bounds import looks_random

_USERINFO: Final = re.compile(r"[^\s/?#\"'<>\[\]]{1,512}@")
_DSN_USERINFO: Final = re.compile(r"[^\s:/?#@\"'<>]{0,128}:[^\s\"'<>]{0,256}@(?=[\w.\-\[]+(?:[:/?,]|\s|\Z))")
_NO_SCHEME: Final = re.compile(r"(?<![:\w/])//[^\s/?#@:\"'<>]{1,128}:([^\s/?#@\"'<>]{1,256})@[\w.\-\[]")
_ORACLE: Final = re.compile(r"jdbc:oracle:\w{2,8}:([^\s/@]{1,64}/[^\s@]{1,128})@")
_SCHEME: Final = re.compile(r"([A-Za-z][\w+.\-]{0,30})\Z")
_WEB: Final = frozenset({"http", "https", "ws", "wss"})
_SIGNED: Final = re.compile(
    r"(?:[?&;#]|\A)(?:code|state|auth|session|sid|ticket|assertion|samlresponse)=([^&\s#\"'<>;]{16,})",
    re.IGNORECASE,
)
_SEGMENT: Final = re.compile(
    r"(?i)/(?:bank-?)?(?:accounts?|cards?|acct|routing|ssns?|payment-methods?)/(\d{8,19})(?=[/?#\s\"',;)]|\Z)"
)
_NAMED_SEGMENT: Final = re.compile(
    r"(?i)/(?P<name>(?:[a-z]{1,16}[\-_])?(?:pin|cvv|cvc|csc|otp|tan|passcode|password|passwd|pwd|secret|token|session|sess|api-?key|apikey)s?(?:[\-_]code)?)/(?P<value>[^/?#\s\"',;()]{3,256})(?=[/?#\s\"',;)]|\Z)"
)
_CODES: Final = ("pin", "cvv", "cvc", "csc", "otp", "tan", "passcode")
_SHORT: Final = re.compile(r"(?:[?&;]|\A)pass=([^&\s#\"'<>;]+)", re.IGNORECASE)
_CODE: Final = re.compile(
    r"(?:verify|verification|confirm|activate|invite|invitation|reset|magic|otp|2fa|mfa)[\w\-/]{0,64}\?(?:[^\s#\"']{0,128}&)?code=([^&\s#\"'<>;]{4,})",
    re.IGNORECASE,
)
_LINK: Final = re.compile(
    r"(?i)/(?:reset|verify|activate|magic|invite|invitation|password|unsubscribe|share)[\w\-]{0,32}/([A-Za-z0-9_\-]{8,512})(?=[/?#\s\"',;)]|\Z)"
)
_MIN_TOKEN: Final = 16
"""Characters from which on a token needs no capitals among small letters."""
_MIN_CODE: Final = 3
_MAX_CODE: Final = 12
_MIN_PASSWORD: Final = 8
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}\Z")


def find_userinfo(text: str) -> Iterator[Hit]:
    """Yield user and password, or a key, before a host."""
    position = text.find("://")
    while position >= 0:
        yield from _userinfo(text, position)
        position = text.find("://", position + 3)
    for pattern in (_NO_SCHEME, _ORACLE):
        for match in pattern.finditer(text):
            yield Hit(match.start(1), match.end(1), "url_credentials")


def find_path_numbers(text: str) -> Iterator[Hit]:
    """Yield long numbers after a path segment that names accounts or cards."""
    for match in _SEGMENT.finditer(text):
        yield Hit(match.start(1), match.end(1), "account")


def find_named_segments(text: str) -> Iterator[Hit]:
    """Yield path segments after one that names a secret, as in `/v1/pin/4821/check`."""
    for match in _NAMED_SEGMENT.finditer(text):
        name, value = match["name"].lower(), match["value"]
        code = next((one for one in _CODES if one in name), None)
        if code is not None:
            rule = {"cvc": "cvv", "csc": "cvv", "tan": "otp", "passcode": "otp"}.get(code, code)
            if value.isdigit() and _MIN_CODE <= len(value) <= _MAX_CODE:
                yield Hit(*match.span("value"), rule)
        elif _is_mixed_segment(name, value):
            yield Hit(*match.span("value"), "password" if "pass" in name or "pwd" in name else "token")


def _is_mixed_segment(name: str, value: str) -> bool:
    """Return whether a segment looks like the secret that the one before it names, not like a version or an id."""
    if not any(map(str.isdigit, value)) or value.isdigit() or _UUID.match(value):
        return False
    if name.startswith("sess"):
        return is_varied(value) and looks_random(value)
    return looks_random(value) or ("pass" in name and len(value) >= _MIN_PASSWORD)


def find_signed_values(text: str) -> Iterator[Hit]:
    """Yield long values of one-time parameters."""
    for pattern, rule in ((_SIGNED, "token"), (_CODE, "token"), (_SHORT, "password")):
        for match in pattern.finditer(text):
            if pattern is not _SIGNED or _is_random(match[1]):
                yield Hit(match.start(1), match.end(1), rule)


def find_link_tokens(text: str) -> Iterator[Hit]:
    """Yield the token in the path of a link that resets, verifies or invites."""
    for match in _LINK.finditer(text):
        value = match[1]
        is_long = len(value) >= _MIN_TOKEN or not (value.islower() or value.isupper() or value.isdigit())
        if is_long and any(char.isdigit() for char in value) and not _UUID.match(value):
            yield Hit(match.start(1), match.end(1), "token")


URL_FINDERS: Final = (
    Finder(find_userinfo, words=("//", "jdbc:")),
    Finder(
        find_signed_values,
        words=("code=", "state=", "auth=", "session=", "sid=", "ticket=", "assertion=", "response=", "pass="),
        signs="=",
    ),
    Finder(
        find_link_tokens,
        words=("reset", "verify", "activate", "magic", "invite", "password"),
        digits=1,
        signs="/",
    ),
    Finder(
        find_named_segments,
        words=("pin", "cvv", "cvc", "csc", "otp", "tan", "pass", "pwd", "secret", "token", "key", "sess"),
        digits=1,
        signs="/",
    ),
    Finder(
        find_path_numbers, words=("account", "card", "acct", "routing", "ssn", "payment"), digits=8, signs="/"
    ),
)


def _is_random(value: str) -> bool:
    """Return whether a value is more than words, as in `pending_verification`."""
    return any(char.isdigit() for char in value) or not (value.islower() or value.isupper())


def _userinfo(text: str, position: int) -> Iterator[Hit]:
    scheme = _SCHEME.search(text, max(0, position - 32), position)
    if scheme is None:
        return
    start = position + 3
    web = scheme[1].lower() in _WEB
    match = _USERINFO.match(text, start) or (None if web else _DSN_USERINFO.match(text, start))
    if match is None:
        return
    userinfo = match.group()[:-1]
    if not web:
        wider = _DSN_USERINFO.match(text, start)
        match = wider if wider and wider.end() > match.end() else match
    if ":" in userinfo or web:
        yield Hit(start, match.end() - 1, "url_credentials")
