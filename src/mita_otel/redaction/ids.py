"""Ids that are new in each request, blanked: a path, a query or a name that differs from one seen before in nothing else.

Whether such a text is benign does not depend on which id it holds, so that it is looked at once for all of them.
"""

from __future__ import annotations

import re
from typing import Final

from mita_otel.redaction.finders.banking import may_begin_iban

_LONGEST: Final = 256
_ONLY: Final = re.compile(r"[A-Za-z0-9_/.\-=&?:]+")
"""What such a text is made of: nothing encoded, no blanks."""
_ID: Final = re.compile(
    r"(?:\A|(?<=[^\d][/=])|(?<=\A[/=]))"
    r"(?:(?:[A-Za-z]{1,8}_)?\d{1,8}|(?=[\d\-]{0,35}[a-f])[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12})"
    r"(?=[/&?](?!\d)|\Z)"
)
"""A whole segment or value: a short number, also after a prefix, or a UUID. Other numbers may not stand beside it."""
_UUID: Final = "0a111111-1111-1111-1111-111111111111"
"""It begins as what follows `1//` in the tokens of one provider: no other UUID looks more like a secret."""
_ONES: Final = str.maketrans("023456789", "1" * 9)


def blank_ids(text: str) -> str:
    """Return the text with ones for the digits of its ids; the same text if it has none.

    The rules for numbers so short look at their length. Where a rule lets some of them pass, as a year after
    "password", 1111 is none of them: a blanked text is never less suspicious than the text itself.
    """
    if len(text) > _LONGEST or not _ONLY.fullmatch(text):
        return text
    return _ID.sub(_blank, text)


def stands_for_all(blanked: str) -> bool:
    """Tell whether the verdict on a blanked text holds for each text that it is made of.

    It does not where digits are a part of something longer that is computed: of an IBAN, or of Base64.
    """
    return "basic" not in blanked.lower() and not may_begin_iban(blanked)


def _blank(match: re.Match[str]) -> str:
    found = match.group()
    return _UUID if "-" in found else found.translate(_ONES)
