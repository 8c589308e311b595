"""Primary account numbers by Luhn's digit and issuer prefix; track data; security codes beside a card."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.card_numbers import card_sizes, has_check_digit, is_card_number
from mita_otel.redaction.finders.hit import Finder, Hit

_RUN: Final = re.compile(r"(?<!\d)\d(?:[ \t\-._+]{0,3}\d){11,}(?!\d)")
_ODD_RUN: Final = re.compile(
    r"(?<!\d)\d{4}(?P<sign> ?[/:;,|*~=#\\'\"] ?|[\"'\])]{1,2}[,;]? ?[\"'(\[]{1,2}|\s{1,8}|<br ?/?>)\d{4,6}(?:(?P=sign)\d{1,5}){1,3}(?!\d)"
)
"""Groups as printed on a card, separated by signs that also separate other numbers."""
_THOUSANDS: Final = re.compile(
    r"(?<!\d)(?<!\d[,._'])\d{1,3}(?P<sign>[,._'])\d{3}(?:(?P=sign)\d{3}){3,5}(?!\d|(?P=sign)\d)"
)
"""A card number as a number with signs between the thousands."""
_LONGEST_AMOUNT: Final = 15
"""Digits from which on such a number is no amount."""
_GROUP: Final = re.compile(r"\d+")
_PRINTED: Final = frozenset({
    (4, 4, 4), (4, 4, 4, 1), (4, 4, 4, 2), (4, 4, 4, 3), (4, 4, 4, 4),
    (4, 4, 4, 4, 1), (4, 4, 4, 4, 2), (4, 4, 4, 4, 3),
    (4, 6, 5), (4, 6, 4), (4, 3, 3, 3), (4, 4, 5), (4, 2, 6, 4),
    (8, 8), (6, 10), (6, 13), (6, 6), (4, 12),
})  # fmt: skip
"""How digits are grouped on cards and receipts."""
_CARD_WORDS: Final = re.compile(
    r"(?i)\b(?:cards?|pan|visa|master(?:card)?|amex|american express|discover|diners|jcb|maestro|union ?pay|cc)\b"
)
_IPV6_GROUP: Final = 4
_HEX_BEFORE: Final = re.compile(r"[0-9a-fA-F]:\Z")
_HEX_AFTER: Final = re.compile(r":[0-9a-fA-F]")
_HEX_GLUED: Final = re.compile(r":?[0-9a-fA-F]")
_LISTING: Final = re.compile(r"\s*[,;]?\s*|[\"'\])]{1,2}[,;]? ?[\"'(\[]{1,2}")
"""Separators of any list of numbers: between them, groups are a card number only after a word such as "card"."""
_WORD_REACH: Final = 32
_BARCODE: Final = re.compile(
    r"(?i)\b(?:ean|gtin|gln|upc|isbn|issn|barcode|imei|sku)(?:[ \-]?(?:8|12|13|14))?(?: ?(?:code|number|no\.?))?\W{0,3}\Z"
)
_LONGEST_BARCODE: Final = 14
_LONGEST_PHONE: Final = 13
_TOKEN_CHAR: Final = re.compile(r"[0-9A-Za-z]*")
_HEX: Final = re.compile(r"[0-9a-fA-F]+\Z")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_FRACTION: Final = re.compile(r"(?:^|[^\d.])\d{1,9}\.\Z")
_HASHES: Final = frozenset({32, 40, 56, 64, 96, 128})
"""Lengths of hexadecimal ids and digests: digits inside one are not a card."""

_LONGEST_JOINED: Final = 40
_LONGEST_CARD: Final = 19
_DATE: Final = re.compile(r"20[0-4]\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])")
_AFTER_DATE: Final = (8, 12, 14)
"""Where a card number starts behind a date, alone or with a time."""
_JOINED_AFTER: Final = re.compile(
    r"(?:(?:0[1-9]|1[0-2])(?:20)?[2-4]\d|[2-4]\d(?:0[1-9]|1[0-2]))(?:\d{3,4}|\d{3}\d{5,16})?|0*"
)
"""An expiry date, with a security code or as in track 2, or zeros behind it."""

_TRACK1: Final = re.compile(r"(?:%?[Bb]|(?<![\d^]))\d[\d ]{11,23}\^[^\^\n]{2,26}\^[\d ]{4,}[^\s?]{0,80}\??")
_TRACK2: Final = re.compile(
    r";?(?<!\d)(?P<pan>\d{12,23})[=Dd](?=(?P<expiry>\d{2}(?:0[1-9]|1[0-2]))?)\d{7,}[^\s?]{0,20}\??"
)
_AFTER: Final = re.compile(
    r"[ \t,;|/:\"']{1,4}(?:exp(?:iry|ires|iration)?\W{1,3})?(?P<expiry>\d{1,2} ?[/\-|;,:] ?\d{2,4}|\d{4}(?=[|;,:/]\d{3,4}(?!\d)))(?!\d)"
    r"(?:[ \t,;|/:\"']{1,4}(?:(?:cv[vc]2?|code)\W{1,3})?(?P<code>\d{3,4})(?!\d))?"
    r"|[|;,](?P<only>\d{3,4})(?!\d)| ?\((?P<bracketed>\d{3,4})\)"
)
_CVV: Final = re.compile(
    r"(?:(?i:(?<![a-z])(?:cvv2?|cvc2?|cvn2?|csc|cav2?|(?:card |the )?(?:security|verification) (?:code|value|number)|card verification(?= ?[:=])))"
    r"|\bCID\b)(?i:\W{0,4}(?:code|number|value|is|was|of|no|entered|given|supplied|provided|received|mismatch|expected|got"
    r"|by (?:the )?(?:user|customer|cardholder)(?=:| is| was))){0,5}"
    r"[\W_]{0,4}(\d{3,4})(?![ \-.]?\d|[A-Za-z_])"
)
_PIN: Final = re.compile(
    r"(?<![A-Za-z])(?:PIN|Pin|pin)(?: ?(?:code|number|no\.?|block))?"
    r"(?: (?:is|was|of|set|to|from|changed|entered|given|by (?:the )?(?:user|customer|cardholder)(?=:| is| was))){0,4}[ \t:=#\"'(\[>\-]{1,4}(\d{4,12})(?!\w|\.\d)"
)
_PIN_BLOCK: Final = re.compile(
    r"(?i)(?<![a-z])(?:pin[ _\-]?bl(?:oc)?k|epb|encrypted pin)(?:[ _]\(?(?:iso|ansi|format|fmt)[ \-_]?(?:9564(?:-\d)?[ \-])?(?:format )?\d\)?)?(?: (?:is|was))?[ \t:=#\"'(\[]{1,4}([0-9a-f]{8,32})(?![0-9a-z])"
)
_PIN_FIELD: Final = re.compile(
    r"(?i)\b(?:DE|F|P|field|bit)[ _\-]?0?52[ \t:=\"'(\[]{1,4}([0-9a-f]{16})(?![0-9a-z])"
)
"""Data element 52 of ISO 8583: the PIN block."""
_OTHER_CODE: Final = re.compile(
    r"(?i)[\"',;)]{0,2}(?: (?:and|but|not|instead of|expected|got|received|to|should be)){1,3}[ :\"'(]{1,3}(\d{3,12})(?!\w|\.\d)"
)
"""A second one, as in `got 737, expected 738`."""


def find_cards(text: str) -> Iterator[Hit]:
    """Yield primary account numbers of 12 to 19 digits, in one piece or in groups, and what follows them."""
    for pattern in (_RUN, _ODD_RUN):
        for run in pattern.finditer(text):
            groups = [(group.start(), group.end()) for group in _GROUP.finditer(text, run.start(), run.end())]
            if pattern is _ODD_RUN and not _is_printed(text, run, groups):
                continue
            end = -1
            for start, stop in _numbers(text, groups):
                if stop > end and not _is_something_else(text, start, stop):
                    end = stop
                    yield Hit(start, stop, "pan")
                    yield from _after(text, stop)


def find_numbers_with_thousands(text: str) -> Iterator[Hit]:
    """Yield card numbers that are written as amounts are."""
    for match in _THOUSANDS.finditer(text):
        digits = match.group().replace(match["sign"], "")
        is_short = len(digits) < _LONGEST_AMOUNT and not _CARD_WORDS.search(
            text, max(0, match.start() - _WORD_REACH), match.start()
        )
        if is_card_number(digits) and not is_short:
            yield Hit(match.start(), match.end(), "pan")


def find_tracks(text: str) -> Iterator[Hit]:
    """Yield what the magnetic stripe holds: track 1 and track 2."""
    if "^" in text:
        for match in _TRACK1.finditer(text):
            yield Hit(match.start(), match.end(), "track")
    for match in _TRACK2.finditer(text):
        if _is_track2(match) or not is_part_of_an_id(text, match.start(), match.end()):
            yield Hit(match.start(), match.end(), "track")


def find_security_codes(text: str) -> Iterator[Hit]:
    """Yield security codes next to their name."""
    for match in _CVV.finditer(text):
        yield Hit(match.start(1), match.end(1), "cvv")
        if other := _OTHER_CODE.match(text, match.end()):
            yield Hit(other.start(1), other.end(1), "cvv")


def find_pins(text: str) -> Iterator[Hit]:
    """Yield PINs and PIN blocks next to their name."""
    for pattern in (_PIN, _PIN_BLOCK):
        for match in pattern.finditer(text):
            yield Hit(match.start(1), match.end(1), "pin")
            if other := _OTHER_CODE.match(text, match.end()):
                yield Hit(other.start(1), other.end(1), "pin")


def find_pin_fields(text: str) -> Iterator[Hit]:
    """Yield the PIN blocks of card networks' messages."""
    for match in _PIN_FIELD.finditer(text):
        yield Hit(match.start(1), match.end(1), "pin")


def _is_track2(match: re.Match[str]) -> bool:
    """Return whether a match is certainly track 2: a card number and an expiry date. No id looks like that by chance."""
    return match["expiry"] is not None and any(is_card_number(match["pan"][start:]) for start in range(9))


def are_printed_groups(sizes: tuple[int, ...]) -> bool:
    """Return whether groups of so many digits each are how a card number is printed."""
    return sizes in _PRINTED


CARD_FINDERS: Final = (
    Finder(find_cards, digits=12),
    Finder(find_numbers_with_thousands, digits=13, signs=",._'"),
    Finder(find_tracks, words=("^", "=", "d"), digits=16),
    Finder(find_security_codes, words=("cv", "csc", "cav", "cid", "security", "verification"), digits=3),
    Finder(find_pins, words=("pin", "epb"), digits=1),
    Finder(find_pin_fields, words=("52=", "52:", "52 ", "52\t"), digits=2),
)


def _after(text: str, position: int) -> Iterator[Hit]:
    """Yield the expiry date and the security code right after a card number."""
    after = _AFTER.match(text, position)
    if after is None:
        return
    for name, rule in (("expiry", "card"), ("code", "cvv"), ("only", "cvv"), ("bracketed", "cvv")):
        if after[name]:
            yield Hit(after.start(name), after.end(name), rule)


def _numbers(text: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the parts of neighbouring groups of digits that make a card number. Linear: few lengths are tried."""
    digits = "".join(text[start:stop] for start, stop in groups)
    begins = list(itertools.accumulate((stop - start for start, stop in groups), initial=0))
    last_by_size = {begin: index - 1 for index, begin in enumerate(begins)}
    single = 0
    for first, (start, stop) in enumerate(groups):
        single = single + 1 if stop - start == 1 else 0
        if single > _LONGEST_CARD:
            continue  # a list of numbers: a card number that is written digit by digit begins earlier
        if _LONGEST_CARD <= stop - start <= _LONGEST_JOINED and _is_joined(text[start:stop]):
            yield start, stop
        for size in card_sizes(digits[begins[first] : begins[first] + 6]):
            last = last_by_size.get(begins[first] + size)
            if last is None or not has_check_digit(digits[begins[first] : begins[first] + size]):
                continue
            if _is_grouped(text, groups[first : last + 1]):
                yield start, groups[last][1]


def _is_joined(digits: str) -> bool:
    """Return whether a run of digits is a card number with a date or zeros, as in a record with fields of fixed length."""
    starts = {0, len(digits) - len(digits.lstrip("0")), *(_AFTER_DATE if _DATE.match(digits) else ())}
    return any(
        is_card_number(digits[start : start + size]) and _JOINED_AFTER.fullmatch(digits, start + size)
        for start in starts
        for size in card_sizes(digits[start : start + 6])
        if start + size <= len(digits) and (start or size < len(digits))
    )


def _is_grouped(text: str, groups: list[tuple[int, int]]) -> bool:
    """Return whether groups of digits belong together.

    Fours do, and digits one by one or two by two; groups as cards have them between equal signs; any others
    only beside a word like "card", since phone numbers and lists of numbers look like that.
    """
    sizes = tuple(stop - start for start, stop in groups)
    if len(sizes) == 1:
        return True
    if sizes[:-1] == (4,) * (len(sizes) - 1) and sizes[-1] <= 4:
        return True
    if len({text[a[1] : b[0]] for a, b in itertools.pairwise(groups)}) != 1:
        return False
    if sizes in _PRINTED or sizes == (1,) * len(sizes):
        return True
    if sizes[:-1] == (2,) * (len(sizes) - 1) and sizes[-1] <= 2:
        return not _continues(text, groups[0][0], groups[-1][1])
    start = groups[0][0]
    return bool(_CARD_WORDS.search(text, max(0, start - _WORD_REACH), start))


def _continues(text: str, start: int, stop: int) -> bool:
    """Return whether more groups precede or follow: then it is a list of numbers."""
    return text[max(0, start - 2) : start - 1].isdigit() or text[stop + 1 : stop + 2].isdigit()


def _is_printed(text: str, run: re.Match[str], groups: list[tuple[int, int]]) -> bool:
    """Return whether the run is one card number as printed, not a part of a list of numbers."""
    sign, start, stop = run["sign"], run.start(), run.end()
    before, after = text[max(0, start - len(sign) - 1) : start], text[stop : stop + len(sign) + 1]
    if (before[1:] == sign and before[:1].isdigit()) or (after[:-1] == sign and after[-1:].isdigit()):
        return False
    short = groups[-1][1] - groups[-1][0] < _IPV6_GROUP
    if sign == ":" and (_HEX_BEFORE.search(before) or (_HEX_GLUED if short else _HEX_AFTER).match(after)):
        return False  # an IPv6 address
    if _LISTING.fullmatch(sign) and not _CARD_WORDS.search(text, max(0, start - _WORD_REACH), start):
        return False
    return tuple(stop - start for start, stop in groups) in _PRINTED


def _is_something_else(text: str, start: int, stop: int) -> bool:
    """Return whether what looks like a card number is a part of an id, a barcode or a phone number."""
    size = stop - start
    if size <= _LONGEST_BARCODE and _BARCODE.search(text, max(0, start - _WORD_REACH), start):
        return True
    if text[start - 1 : start] == "+" and start - 1 == _plus(text, start):
        digits = sum(char.isdigit() for char in text[start:stop])
        if digits <= _LONGEST_PHONE:
            return not _CARD_WORDS.search(text, max(0, start - _WORD_REACH), start)
    return is_part_of_an_id(text, start, stop)


def _plus(text: str, start: int) -> int:
    """Return the position of the plus sign of a telephone number, or -1."""
    before = text[start - 2 : start - 1] if start > 1 else ""
    return start - 1 if not before or not (before.isalnum() or before in "=+%") else -1


def is_part_of_an_id(text: str, start: int, stop: int) -> bool:
    """Return whether the digits belong to a UUID, a hexadecimal digest or the fraction of a number."""
    first = start
    while first > 0 and start - first < 128 and text[first - 1].isalnum():
        first -= 1
    token = _TOKEN_CHAR.match(text, first)
    if token and len(token.group()) in _HASHES and _HEX.match(token.group()):
        return True
    if any(
        uuid.start() <= start and stop <= uuid.end()
        for uuid in _UUID.finditer(text, max(0, start - 36), stop + 36)
    ):
        return True
    return text[start:stop].isdigit() and bool(_FRACTION.search(text, max(0, start - 12), start))
