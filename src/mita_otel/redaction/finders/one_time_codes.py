"""One-time codes in messages to customers: `482913 is your code`, `Enter code 482913 to …`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Finder, Hit

_KIND: Final = r"(?:verification|one[ \-]time|security|login|sign[ \-]?in|access|authentication|confirmation) (?:pass)?code"
_OTHER_CODES: Final = r"(?!(?:\w{1,16} ){0,2}?(?:error|status|exit|zip|postal|area|country|currency|promo|coupon|voucher|discount|order|product|reason|response|sort|bank)\b)"
_CODE: Final = re.compile(
    rf"(?i)(?<![\w.])(?:[a-z]-)?(\d{{4,8}}) is (?:the (?:\w{{1,16}} ){{0,2}}(?:{_KIND}|passcode|otp)|your {_OTHER_CODES}(?:[\w\-]{{1,16}} ){{0,3}}(?:pass|pin )?(?:code|otp|pin)\b)"
    rf"|\byour {_OTHER_CODES}(?:\w{{1,16}} ){{0,2}}?{_KIND}(?: is)?[ :]{{1,2}}(\d{{4,8}})(?!\w|\.\d)"
    rf"|\byour {_OTHER_CODES}(?:\w{{1,16}} ){{0,1}}(?:code|passcode|otp) is[ :]{{1,2}}(\d{{4,8}})(?=[.,;!\s]*(?:\n|\Z|(?-i:[A-Z])))"
    r"|\b(?:enter|type)(?: the| this| your)? (?:code|passcode|otp) (\d{4,8})(?!\w|\.\d)"
    r"|\buse(?: the| this| your)? (?:code|passcode|otp) (\d{5,8})(?!\w|\.\d)(?! (?:for|to (?:get|save|receive)) )"
)


def find_one_time_codes(text: str) -> Iterator[Hit]:
    """Yield codes of four to eight digits."""
    for match in _CODE.finditer(text):
        group = match.lastindex or 1
        yield Hit(match.start(group), match.end(group), "otp")


ONE_TIME_CODE_FINDER: Final = Finder(
    find_one_time_codes, words=("code", "otp", "is your"), digits=4, signs=" "
)
