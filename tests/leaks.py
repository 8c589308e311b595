"""Searches for the test's secrets in sent or stored data."""

from __future__ import annotations

import re

PAN = "4111111111111111"
"""Visa's published test number."""

_BETWEEN = re.compile(r"[\s.\-\u00a0]+")
_ENOUGH = 8
"""So many digits in a row are no chance; four are in one trace id of two thousand."""


def shows(text: object, secret: str = PAN) -> bool:
    """Return whether the text, however the digits are parted, has the secret or its first half."""
    shown = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    beginning = secret[: max(_ENOUGH, len(secret) // 2)]
    return beginning in shown or beginning in _BETWEEN.sub("", shown)
