"""Numbers of accounts and people: IBAN, routing numbers, account numbers and social security numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from stdnum import iban as iban_number

from mita_otel.redaction.finders.cards import is_part_of_an_id
from mita_otel.redaction.finders.hit import Finder, Hit

_IBAN: Final = re.compile(r"(?=([A-Za-z]{2})[ \-._+]?\d[ \-._+]?\d[\s\-._+/:]{0,3}[0-9A-Za-z])")
_IBAN_COUNTRIES: Final = (
    "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BI27 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DJ27 "
    "DK18 DO28 EE20 EG29 ES24 FI18 FK18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HN28 HR21 HU28 "
    "IE22 IL23 IQ23 IS26 IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 "
    "MK19 MN20 MR27 MT31 MU30 NI28 NL18 NO15 OM23 PK24 PL28 PS29 PT25 QA29 RO24 RS22 RU33 SA24 "
    "SC31 SD18 SE24 SI19 SK24 SM27 SO23 ST25 SV28 TL23 TN24 TR26 UA29 VA22 VG24 XK20 YE30 "
)
_IBAN_LENGTHS: Final = {entry[:2]: int(entry[2:]) for entry in _IBAN_COUNTRIES.split()}
"""Length of an IBAN by country. Source: SWIFT's IBAN registry, release 101."""
_IBAN_SEPARATORS: Final = frozenset(" -._+/:\t\r\n")
_LONGEST_SEPARATOR: Final = 3
_LETTER_VALUES: Final = str.maketrans({chr(65 + index): str(10 + index) for index in range(26)})
"""The numbers that replace letters in the check of an IBAN (ISO 13616)."""
_IBAN_SPAN: Final = 100

_SSN: Final = re.compile(r"(?<![\d\-])(\d{3})([\- ])(\d{2})\2(\d{4})(?![\d\-]|\.\d)")
_NINE: Final = re.compile(
    r"(?<![\w.\-])(?:\d{3}([\- .]?)\d{2}\1\d{4}|\d{5}[\- ]\d{4}|\d{2}-\d{7})(?![\w\-]|\.\d)"
)
_SSN_WORDS: Final = re.compile(
    r"(?i)(?<![a-z])(?:ssn|ss ?#|s\.s\.n\.?|soc(?:ial)?[ _\-]?sec(?:urity)?(?:[ _\-]?(?:number|no|num))?|(?:his|her|my|your|their) social"
    r"|social insurance|itin|(?-i:EIN)|tin|tax[ _\-]?(?:payer)?[ _\-]?id(?:entification)?)(?![a-z])"
)
_ABA_WORDS: Final = re.compile(
    r"(?i)(?<![a-z\d])(?:aba(?!\d)|rtn|fedwire|ach|bank routing"
    r"|(?:routing|transit)(?:[ _\-/]?(?:number|num|no|nr|code|transit|routing|aba)(?![a-z])|[ _\-]?#|\W{0,3}\Z))(?![a-z])"
)
_ABA: Final = re.compile(r"(?<![\w.\-])\d{4}([\- ]?)\d{4}\1\d(?![\w\-]|\.\d)")
_ACCOUNT: Final = re.compile(
    r"(?i)(?<![a-z])(?:account|acct\.?|acc\.?(?= ?(?:no|num|#))|a/c|konto|clabe)(?:[ _\-]?(?P<number>number|nummer|num|no\.?|nr\.?|#))?"
    r"(?:(?: (?:is|was|of|ending|in|with|number|entered|given|provided|supplied)){1,3}| \w{2,16}(?=[:=])| of \w{1,16}:?)?"
    r"[ \t:=#\"'(\[<]{1,4}(?P<digits>\d[\d \-]{2,30}\d)(?!\w|\.\d)"
)
_PAIRED_ACCOUNT: Final = re.compile(r" ?[/:|] ?(\d{5,17})(?![\w\-])")
_MESSAGE_ACCOUNTS: Final = (
    re.compile(r"^:(?:25P?:|5\d[A-Z]?:/(?:[CD]/)?)(\w[\w \-]{3,33})\r?$", re.MULTILINE | re.ASCII),
    re.compile(
        r"Acct>\s{0,16}<(?:\w{1,16}:)?Id>\s{0,16}(?:<(?:\w{1,16}:)?Othr>\s{0,16}<(?:\w{1,16}:)?Id>\s{0,16})?([^<\s]{3,34})\s{0,16}<"
    ),
)
"""Fields of SWIFT's MT messages, and elements of ISO 20022's."""
_SORT_CODE: Final = re.compile(
    r"(?i)\bsort[ _\-]?code(?: (?:is|was|number))?[ \t:=#\"'(]{1,4}(\d{2}([\- ]?)\d{2}\2\d{2})(?![\w\-])"
)
_CONTEXT: Final = 48
"""Characters before a number in which its name may occur."""
_CONTEXT_AFTER: Final = 24
"""The same after it."""
_MIN_ACCOUNT: Final = 8
_MIN_NAMED_ACCOUNT: Final = 5
_MAX_ACCOUNT: Final = 20


def find_ibans(text: str) -> Iterator[Hit]:
    """Yield IBANs of all countries: national length and structure, check digits mod 97, spaced or not."""
    for match in _IBAN.finditer(text):
        size = _IBAN_LENGTHS.get(match[1].upper(), 0)
        if not size:
            continue
        end = _take(text, match.start(), size)
        if (
            end
            and _is_iban(_compact(text[match.start() : end]))
            and not is_part_of_an_id(text, match.start(), end)
        ):
            yield Hit(match.start(), end, "iban")


def find_identities(text: str) -> Iterator[Hit]:
    """Yield social security and taxpayer numbers: `123-45-6789` anywhere, other forms near their name."""
    for match in _SSN.finditer(text):
        area, separator, group, serial = match.groups()
        if _is_ssn(area, group, serial) and (separator == "-" or _near(_SSN_WORDS, text, match)):
            yield Hit(match.start(), match.end(), "ssn")
    for match in _NINE.finditer(text):
        if _near(_SSN_WORDS, text, match):
            yield Hit(match.start(), match.end(), "ssn")


def find_routing_numbers(text: str) -> Iterator[Hit]:
    """Yield ABA routing numbers (prefix and check digit) near their name."""
    for match in _ABA.finditer(text):
        if _is_aba("".join(filter(str.isdigit, match.group()))) and _near(_ABA_WORDS, text, match):
            yield Hit(match.start(), match.end(), "routing")
            if paired := _PAIRED_ACCOUNT.match(text, match.end()):
                yield Hit(paired.start(1), paired.end(1), "account")


def find_accounts(text: str) -> Iterator[Hit]:
    """Yield account numbers and sort codes right after their name."""
    for match in _SORT_CODE.finditer(text):
        yield Hit(match.start(1), match.end(1), "account")
    for match in _ACCOUNT.finditer(text):
        size = sum(char.isdigit() for char in match["digits"])
        if (_MIN_NAMED_ACCOUNT if match["number"] else _MIN_ACCOUNT) <= size <= _MAX_ACCOUNT:
            yield Hit(match.start("digits"), match.end("digits"), "account")


def find_message_accounts(text: str) -> Iterator[Hit]:
    """Yield account numbers in payment messages, whose fields have no speaking names."""
    for pattern in _MESSAGE_ACCOUNTS:
        for match in pattern.finditer(text):
            if any(map(str.isdigit, match[1])):
                yield Hit(match.start(1), match.end(1), "account")


BANKING_FINDERS: Final = (
    Finder(find_ibans, digits=2),
    Finder(find_identities, digits=9),
    Finder(find_routing_numbers, words=("routing", "aba", "rtn", "transit", "fedwire", "ach"), digits=9),
    Finder(find_accounts, words=("acc", "a/c", "konto", "sort", "clabe"), digits=5),
    Finder(find_message_accounts, words=("acct>", ":5", ":25"), digits=3),
)


def may_begin_iban(text: str) -> bool:
    """Return whether a text contains a country's letters and two digits as in an IBAN."""
    return any(match[1].upper() in _IBAN_LENGTHS for match in _IBAN.finditer(text))


def _take(text: str, start: int, size: int) -> int | None:
    """Return where `size` letters and digits end: in one piece, or in groups of which the first has two or four."""
    if (piece := text[start : start + size]).isalnum() and piece.isascii():
        return start + size if len(piece) == size else None
    taken, gap, grouped = 0, 0, False
    for position in range(start, min(len(text), start + _IBAN_SPAN)):
        char = text[position]
        if char.isascii() and char.isalnum():
            if gap and not grouped:
                grouped = True
                if taken not in (2, 4) and taken < size - 4:
                    return None
            taken, gap = taken + 1, 0
            if taken == size:
                return position + 1
        elif gap == _LONGEST_SEPARATOR or char not in _IBAN_SEPARATORS:
            return None
        else:
            gap += 1
    return None


def _is_iban(number: str) -> bool:
    """Return whether the check digits and the national structure are right; the cheap check comes first."""
    rearranged = number[4:] + number[:4]
    return int(rearranged.translate(_LETTER_VALUES)) % 97 == 1 and bool(
        iban_number.is_valid(number, check_country=False)
    )


def _compact(text: str) -> str:
    return "".join(filter(str.isalnum, text)).upper()


def _is_ssn(area: str, group: str, serial: str) -> bool:
    if group == "00" or serial == "0000" or area in ("000", "666"):
        return False
    if area[0] == "9":  # an ITIN: only some groups are issued
        number = int(group)
        return 50 <= number <= 65 or 70 <= number <= 88 or 90 <= number <= 92 or 94 <= number <= 99
    return True


def _is_aba(digits: str) -> bool:
    prefix = int(digits[:2])
    if not (prefix <= 12 or 21 <= prefix <= 32 or 61 <= prefix <= 72 or prefix == 80):
        return False
    weighted = sum(int(digit) * weight for digit, weight in zip(digits, (3, 7, 1) * 3, strict=True))
    return weighted % 10 == 0 and digits != "000000000"


def _near(words: re.Pattern[str], text: str, number: re.Match[str]) -> bool:
    start, end = number.span()
    return bool(
        words.search(text, max(0, start - _CONTEXT), start) or words.search(text, end, end + _CONTEXT_AFTER)
    )
