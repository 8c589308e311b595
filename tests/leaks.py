"""Searches for the test's secrets in sent or stored data."""

from __future__ import annotations

import re

PAN = "4111111111111111"
"""Visa's published test number."""

_BETWEEN = re.compile(r"[\s.\-\u00a0]+")
_ENOUGH = 8
"""Eight digits do not occur by chance; four do, in one of two thousand trace ids."""


def shows(text: object, secret: str = PAN) -> bool:
    """Return whether the text contains the secret or its first half, with any separators."""
    shown = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
    beginning = secret[: max(_ENOUGH, len(secret) // 2)]
    return beginning in shown or beginning in _BETWEEN.sub("", shown)
