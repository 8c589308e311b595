"""Primary account numbers by Luhn's digit and issuer prefix; track data; security codes beside a card."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.hit import Finder, Hit

_RUN: Final = re.compile(r"(?<!\d)\d(?:[ \t\-._+]{0,3}\d){11,}(?!\d)")
_GROUP: Final = re.compile(r"\d+")
_TOKEN_CHAR: Final = re.compile(r"[0-9A-Za-z]*")
_HEX: Final = re.compile(r"[0-9a-fA-F]+\Z")
_UUID: Final = re.compile(r"[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}")
_FRACTION: Final = re.compile(r"(?:^|[^\d.])\d{1,9}\.\Z")
_HASHES: Final = frozenset({32, 40, 56, 64, 96, 128})
"""Lengths of hexadecimal ids and digests: digits inside one are not a card."""

_TRACK1: Final = re.compile(r"%?[Bb]\d{12,19}\^[^\^\n]{2,26}\^[\d ]{4,}[^\s?]{0,80}\??")
_TRACK2: Final = re.compile(r";?(?<!\d)\d{12,19}[=Dd]\d{7,}[^\s?]{0,20}\??")
_AFTER: Final = re.compile(
    r"[ \t,;|/:]{1,3}(?:exp(?:iry|ires|iration)?\W{1,3})?(?P<expiry>\d{1,2} ?[/\-|;,] ?\d{2,4})(?!\d)"
    r"(?:[ \t,;|/:]{1,3}(?:cv[vc]2?\W{1,3})?(?P<code>\d{3,4})(?!\d))?|[|;,](?P<only>\d{3,4})(?!\d)"
)
_CVV: Final = re.compile(
    r"(?i)(?<![a-z])(?:cvv2?|cvc2?|cvn2?|csc|cav2?|(?:card |the )?(?:security|verification) (?:code|value|number))"
    r"(?:\W{0,4}(?:code|number|value|is|was|of|no))?[\W_]{0,4}(\d{3,4})(?![ \-.]?\d)"
)
_PIN: Final = re.compile(
    r"(?<![A-Za-z])(?:PIN|Pin|pin)(?: ?(?:code|number|no\.?|block))?(?: (?:is|was|of))?[ \t:=#\"']{1,4}(\d{4,12})(?!\d|\.\d)"
)


def find_cards(text: str) -> Iterator[Hit]:
    """Yield primary account numbers of 12 to 19 digits, in one piece or in groups, and what follows them."""
    for run in _RUN.finditer(text):
        groups = [(group.start(), group.end()) for group in _GROUP.finditer(text, run.start(), run.end())]
        end = -1
        for start, stop in _numbers(text, groups):
            if stop > end and not _is_part_of_an_id(text, start, stop):
                end = stop
                yield Hit(start, stop, "pan")
                yield from _after(text, stop)


def find_tracks(text: str) -> Iterator[Hit]:
    """Yield what the magnetic stripe holds: track 1 and track 2."""
    if "^" in text:
        for match in _TRACK1.finditer(text):
            yield Hit(match.start(), match.end(), "track")
    for match in _TRACK2.finditer(text):
        yield Hit(match.start(), match.end(), "track")


def find_security_codes(text: str) -> Iterator[Hit]:
    """Yield security codes next to their name."""
    for match in _CVV.finditer(text):
        yield Hit(match.start(1), match.end(1), "cvv")


def find_pins(text: str) -> Iterator[Hit]:
    """Yield PINs next to their name."""
    for match in _PIN.finditer(text):
        yield Hit(match.start(1), match.end(1), "pin")


def is_card_number(digits: str) -> bool:
    """Tell whether 12 to 19 digits have an issuer's prefix, its length and a valid check digit.

    Sources: ISO/IEC 7812-1; the schemes' published ranges of issuer identification numbers.
    """
    return 12 <= len(digits) <= 19 and _has_issuer(digits) and _luhn(digits)


CARD_FINDERS: Final = (
    Finder(find_cards, digits=True),
    Finder(find_tracks, words=("^", "=", "d"), digits=True),
    Finder(find_security_codes, words=("cv", "csc", "cav", "security", "verification"), digits=True),
    Finder(find_pins, words=("pin",), digits=True),
)

_LUHN: Final = bytes((0, 2, 4, 6, 8, 1, 3, 5, 7, 9))


def _luhn(digits: str) -> bool:
    numbers = [ord(digit) - 48 for digit in reversed(digits)]
    return (sum(numbers[::2]) + sum(_LUHN[n] for n in numbers[1::2])) % 10 == 0


def _has_issuer(digits: str) -> bool:
    size = len(digits)
    return any(
        low <= digits[: len(low)] <= high and size in sizes for low, high, sizes in _ISSUERS[digits[0]]
    )


_LONG: Final = frozenset(range(16, 20))
_ANY: Final = frozenset(range(12, 20))
_RANGES: Final = (
    ("4", "4", frozenset({13, 16, 19})),  # Visa
    ("51", "55", frozenset({16})),  # Mastercard
    ("2221", "2720", frozenset({16})),  # Mastercard
    ("34", "34", frozenset({15})),  # American Express
    ("37", "37", frozenset({15})),  # American Express
    ("300", "305", frozenset(range(14, 20))),  # Diners Club
    ("3095", "3095", frozenset(range(14, 20))),  # Diners Club
    ("36", "36", frozenset(range(14, 20))),  # Diners Club
    ("38", "39", frozenset(range(14, 20))),  # Diners Club
    ("3528", "3589", _LONG),  # JCB
    ("2131", "2131", frozenset({15})),  # JCB
    ("1800", "1800", frozenset({15})),  # JCB
    ("6011", "6011", _LONG),  # Discover
    ("644", "659", _LONG),  # Discover, RuPay, Elo, Troy
    ("60", "60", _LONG),  # RuPay, Hipercard
    ("62", "62", _LONG),  # UnionPay
    ("81", "82", _LONG),  # UnionPay, RuPay
    ("2200", "2204", _LONG),  # Mir
    ("50", "50", _LONG),  # Maestro, Elo, Verve, Dankort, RuPay
    ("56", "58", _LONG),  # Maestro
    ("61", "61", _LONG),  # Maestro
    ("63", "64", _LONG),  # Maestro, Elo, InterPayment
    ("66", "69", _LONG),  # Maestro
    ("9792", "9792", frozenset({16})),  # Troy
    ("5018", "5018", _ANY),  # Maestro
    ("5020", "5020", _ANY),  # Maestro
    ("5038", "5038", _ANY),  # Maestro
    ("5893", "5893", _ANY),  # Maestro
    ("6304", "6304", _ANY),  # Maestro
    ("6759", "6763", _ANY),  # Maestro
    ("676770", "676774", _ANY),  # Maestro
)
_ISSUERS: Final = {first: tuple(r for r in _RANGES if r[0][0] <= first <= r[1][0]) for first in "0123456789"}


def _after(text: str, position: int) -> Iterator[Hit]:
    """Yield the expiry date and the security code right after a card number."""
    after = _AFTER.match(text, position)
    if after is None:
        return
    for name, rule in (("expiry", "card"), ("code", "cvv"), ("only", "cvv")):
        if after[name]:
            yield Hit(after.start(name), after.end(name), rule)


def _numbers(text: str, groups: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Yield the stretches of neighbouring groups of digits that make a card number."""
    for first, (start, _) in enumerate(groups):
        if not _ISSUERS[text[start]]:
            continue
        digits = ""
        for last in range(first, len(groups)):
            digits += text[groups[last][0] : groups[last][1]]
            if len(digits) > 19:
                break
            if len(digits) >= 12 and is_card_number(digits) and _is_grouped(text, groups[first : last + 1]):
                yield start, groups[last][1]


def _is_grouped(text: str, groups: list[tuple[int, int]]) -> bool:
    """Tell whether groups of digits belong together: fours, or one and the same separator between all."""
    if all(stop - start == 4 for start, stop in groups[:-1]) and (
        len(groups) != 2 or text[groups[0][1]] != "."
    ):
        return True
    separators = [text[a[1] : b[0]] for a, b in itertools.pairwise(groups)]
    return len(set(separators)) == 1 and separators != ["."]  # two groups and a dot are a decimal number


def _is_part_of_an_id(text: str, start: int, stop: int) -> bool:
    """Tell whether the digits belong to a UUID, a hexadecimal digest or the fraction of a number."""
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
