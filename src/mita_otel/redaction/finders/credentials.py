"""Credentials with a recognisable format: JWTs, schemes, headers, hashes, private keys, seed phrases, one-time codes."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit
from mita_otel.redaction.finders.value_bounds import ValueShapes

_JWT_RUN: Final = re.compile(r"[A-Za-z0-9_\-.=]{16,}")
_JWT: Final = re.compile(
    r"eyJ[A-Za-z0-9_\-]{4,}={0,2}\.(?:[A-Za-z0-9_\-]{4,}={0,2}|(?=(?:\.[A-Za-z0-9_\-]{8,}){2}))(?:\.[A-Za-z0-9_\-=]*){0,3}"
)

_SCHEME: Final = re.compile(
    r"(?i)(?<![a-z])(bearer|basic|digest|negotiate|ntlm|apikey|api-key|token)[ \t+:=\"']{1,3}([A-Za-z0-9._~+/=\-]{6,})"
)
_WORD: Final = re.compile(r"[A-Za-z][a-z._\-]*\Z")
_MIN_TOKEN: Final = 16

_HEADER: Final = re.compile(
    r"(?i)(?<![a-z])(?P<name>(?:proxy-)?authorization|(?:set-)?cookie)(?:[\"'][ \t]{0,4}:[ \t]{0,4}(?P<quote>[\"'])?|[ \t]{0,4}:[ \t]{0,4})"
    r"(?=[^\s\"'\[{])"
)
_ONE_TOKEN: Final = re.compile(r"(?i)(?:bearer|basic|token|apikey|negotiate|ntlm)[ \t]+[^\s,;\"'}\])]+")
_LINE: Final = re.compile(r"[^\r\n]*")

_HASH: Final = re.compile(
    r"(?<![\w$])(?:\$2[abxy]?\$\d\d\$[./A-Za-z0-9]{53}|\$argon2(?:id|i|d)\$[^\s\"'<>,;]{3,}(?:,[^\s\"'<>;]{3,})?"
    r"|\$(?:[1567]|y|gy|apr1)\$[./A-Za-z0-9=,$]{12,}|(?:pbkdf2_sha\d{1,3}|scrypt|bcrypt_sha256|md5)\$[^\s\"'<>]{12,}"
    r"|(?:scrypt|pbkdf2)(?::\w{1,16}){1,3}\$[^\s\"'<>]{12,})"
)
"""Hashes of passwords: of crypt, Django, Werkzeug, passlib."""
_KEY_BEGIN: Final = re.compile(
    r"-{4,5} ?BEGIN [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)? ?-{4,5}|(?<=Private-Lines: )\d"
)
_KEY_END: Final = re.compile(r"-{4,5} ?END [A-Z0-9 ]{0,60}-{4,5}|Private-MAC: ")


def find_jwts(text: str) -> Iterator[Hit]:
    """Yield JSON web tokens, signed, encrypted or neither."""
    for run in _JWT_RUN.finditer(text):
        start = text.find("eyJ", run.start(), run.end())
        if start < 0:
            continue
        # With several starts in one run, all of it goes if the last one starts a token.
        last = text.rfind("eyJ", start, run.end())
        if _JWT.match(text, start, run.end()) or _JWT.match(text, last, run.end()):
            yield Hit(start, run.end(), "jwt")


def find_schemes(text: str) -> Iterator[Hit]:
    """Yield what follows the name of an authentication scheme, as in `Bearer …`."""
    position = 0
    while match := _SCHEME.search(text, position):
        scheme, value = match[1].lower(), match[2]
        challenge = value.endswith("=") and text.startswith('"', match.end())  # `Bearer realm="…"`
        # A word may be the name of the next scheme, as in `invalid bearer token …`.
        position = match.start(2) if _WORD.match(value) else match.end()
        if not challenge and _is_credential(scheme, value):
            position = match.end()
            yield Hit(match.start(2), match.end(2), "authorization")


class HeaderFinder:
    """Finds the values of authorization and cookie headers.

    Args:
        shapes: Which values are words of a sentence about the header.
    """

    def __init__(self, shapes: ValueShapes) -> None:
        self._shapes = shapes

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield the values."""
        end = 0
        for match in _HEADER.finditer(text):
            if match.start() >= end:
                end = _header_end(text, match)
                if not self._shapes.is_ordinary_word(text[match.end() : end].strip()):
                    rule = "cookie" if match["name"].lower().endswith("cookie") else "authorization"
                    yield Hit(match.end(), end, rule)


def find_private_keys(text: str) -> Iterator[Hit]:
    """Yield private keys in PEM and in the formats of SSH2 and PuTTY, also those whose end is missing."""
    position = 0
    while begin := _KEY_BEGIN.search(text, position):
        end = _KEY_END.search(text, begin.end())
        position = len(text) if end is None else end.end()
        yield Hit(begin.start(), position, "private_key")


def find_password_hashes(text: str) -> Iterator[Hit]:
    """Yield hashes of passwords."""
    for match in _HASH.finditer(text):
        yield Hit(match.start(), match.end(), "password")


CREDENTIAL_FINDERS: Final = (
    Finder(find_jwts, words=("eyj",)),
    Finder(
        find_schemes, words=("bearer", "basic", "digest", "negotiate", "ntlm", "apikey", "api-key", "token")
    ),
    Finder(find_password_hashes, signs="$"),
    Finder(find_private_keys, words=("private key", "private-lines")),
)


def _header_end(text: str, header: re.Match[str]) -> int:
    """Return where a header's value ends: after the one token of its scheme, at its quote, with its line."""
    one_token = _ONE_TOKEN.match(text, header.end())
    if one_token:
        return one_token.end()
    line = _LINE.match(text, header.end())
    end = line.end() if line else header.end()
    before = text[header.start() - 1 : header.start()]
    quote = header["quote"] or (before if before in ("'", '"') and ":" in header.group()[-2:] else "")
    close = text.find(quote, header.end(), end) if quote else -1
    return close if close >= 0 else end


def _is_credential(scheme: str, value: str) -> bool:
    if scheme == "basic":
        try:
            return b":" in base64.b64decode(value + "=" * (-len(value) % 4), validate=True)
        except (ValueError, binascii.Error):
            return False
    if _WORD.match(value):
        return len(value) >= _MIN_TOKEN * 2
    if scheme == "token":
        return len(value) >= _MIN_TOKEN and any(char.isdigit() for char in value)
    return True


_PHRASE: Final = re.compile(
    r"(?i:\b(?:seed|mnemonic|recovery|backup|wallet|secret)(?:[ _\-]?(?:seed|phrase|words?|mnemonic)){0,2}\b)"
    r"(?: (?:is|was|are|entered|restored|from|given)){0,3}[\"']?[ \t]{0,4}(?:=>|[:=(\[])?[ \t\"']{0,4}\n?[ \t]{0,8}"
    r"(?P<words>[a-z]{3,8}(?:[ ,]{1,2}[a-z]{3,8}){11,23})(?![\w])"
)
_NOT_IN_LIST: Final = frozenset(
    {
        "and",
        "are",
        "but",
        "could",
        "for",
        "from",
        "had",
        "has",
        "not",
        "our",
        "the",
        "was",
        "were",
        "with",
        "your",
    }
)
"""Words of nearly every sentence of that length; none is in BIP-39's English list."""


def find_seed_phrases(text: str) -> Iterator[Hit]:
    """Yield the words of seed phrases (BIP-39: 12 to 24 words of three to eight letters)."""
    for match in _PHRASE.finditer(text):
        if _NOT_IN_LIST.isdisjoint(re.findall(r"[a-z]+", match["words"])):
            yield Hit(*match.span("words"), "secret")


SEED_PHRASE_FINDER: Final = Finder(find_seed_phrases, words=("seed", "mnemonic", "phrase"))


_KIND: Final = r"(?:verification|one[ \-]time|security|login|sign[ \-]?in|access|authentication|confirmation) (?:pass)?code"
_OTHER_CODES: Final = r"(?!(?:\w{1,16} ){0,2}?(?:error|status|exit|zip|postal|area|country|currency|promo|coupon|voucher|discount|order|product|reason|response|sort|bank)\b)"
_CODE: Final = re.compile(
    rf"(?i)(?<![\w.])(?:[a-z]-)?(\d{{4,8}}) is (?:the (?:\w{{1,16}} ){{0,2}}(?:{_KIND}|passcode|otp)|your {_OTHER_CODES}(?:[\w\-]{{1,16}} ){{0,3}}(?:pass|pin )?(?:code|otp|pin)\b)"
    rf"|\byour {_OTHER_CODES}(?:\w{{1,16}} ){{0,2}}?{_KIND}(?: is)?[ :]{{1,2}}(\d{{4,8}})(?!\w|\.\d)"
    rf"|\byour {_OTHER_CODES}(?:\w{{1,16}} ){{0,1}}(?:code|passcode|otp) is[ :]{{1,2}}(\d{{4,8}})(?=[.,;!\s]*(?:\n|\Z|(?-i:[A-Z])))"
    r"|\b(?:enter|type)(?: the| this| your)? (?:code|passcode|otp) (\d{4,8})(?!\w|\.\d)"
    r"|\buse(?: the| this| your)? (?:code|passcode|otp) (\d{5,8})(?!\w|\.\d)(?! (?:for|to (?:get|save|receive)) )"
    rf"|\b(?:use|enter|type) (\d{{4,8}}|\d{{3}}[ \-]\d{{3}}) (?:to (?:sign|log) ?in|to (?:verify|authenticate|(?:confirm|approve|authorize) (?:your|this|that|it|the))|as (?:the|your|a|an) {_OTHER_CODES}(?:[\w\-]{{1,16}} ){{0,2}}(?:code|otp|passcode))\b"
    rf"|\b(?:ihr|dein|votre|ton|tu|su|seu|sua|il tuo|uw|je) {_OTHER_CODES}(?:[\w\-]{{1,16}} ){{0,2}}[\w\-]{{0,20}}(?:code|codigo|codice|kod) (?:lautet|ist|est|es|e|is)[ :]{{1,2}}(\d{{4,8}})(?!\w|\.\d)"
)


def find_one_time_codes(text: str) -> Iterator[Hit]:
    """Yield codes of four to eight digits."""
    for match in _CODE.finditer(text):
        group = match.lastindex or 1
        yield Hit(match.start(group), match.end(group), "otp")


ONE_TIME_CODE_FINDER: Final = Finder(
    find_one_time_codes,
    words=("code", "otp", "is your", "use ", "enter ", "type ", "codigo", "codice"),
    digits=4,
    signs=" ",
)
