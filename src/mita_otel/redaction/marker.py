"""Replacements of secrets: a marker names the rule and never repeats the value."""

from __future__ import annotations

import hashlib
import hmac
import math
import re
from collections.abc import Mapping
from typing import Final

from mita_otel.policy.redaction import Mode

MARKER: Final = re.compile(r"\[redacted:[a-z][a-z0-9_]*(?::(?:\*\w{1,4}|~[a-p]{16}|<=10\^\d{1,3}))?\]")
"""Any marker. A digest is written in letters, so that no marker can be mistaken for a number."""

NEVER_SHOWN: Final = frozenset({"cvv", "pin", "track"})
"""Sensitive authentication data: PCI DSS forbids keeping any part of it, whatever the policy says."""

TRUNCATED: Final = re.compile(r"(?=[^*xX\u2022#]{0,20}[*xX\u2022#]{2})\d{0,6}[*xX\u2022#.\- ]{2,24}\d{0,4}")
"""A number that was truncated earlier: at most its first six and last four digits are left, as PCI DSS allows."""

REMOVED: Final = object()
"""Returned for a value whose rule says `remove`."""
ERROR: Final = "[redacted:error]"
DEPTH: Final = "[redacted:depth]"
TYPE: Final = "[redacted:type]"

_NOTHING: Final = frozenset(
    {"[Filtered]", "[REDACTED]", "[redacted]", "None", "null", "''", '""', "True", "False"}
)
"""Values of a sensitive name that show nothing: redacted earlier, or empty, as `repr` writes it."""
_LETTERS: Final = str.maketrans("0123456789abcdef", "abcdefghijklmnop")
_MIN_LAST4: Final = 8


class Markers:
    """Writes the marker of a rule in the mode that the policy sets.

    Args:
        modes: Mode by rule; `default` for the rest.
        hmac_key: Key of the `hmac` mode. Without one that mode masks.
    """

    def __init__(self, modes: Mapping[str, Mode], hmac_key: bytes | None = None) -> None:
        self._modes = dict(modes)
        self._default: Mode = modes.get("default", "mask")
        self._key = hmac_key or None

    def mode(self, rule: str) -> Mode:
        """Return the mode of a rule, limited to what PCI DSS allows."""
        mode = self._modes.get(rule, self._default)
        if rule in NEVER_SHOWN and mode != "remove":
            return "mask"
        if mode == "range" and rule != "amount":
            return "mask"
        return mode

    def write(self, rule: str, secret: str) -> str:
        """Return the marker for `secret`, which `rule` found."""
        mode = self.mode(rule)
        if mode == "last4":
            plain = [c for c in secret if c.isalnum() and c.isascii()]
            if len(plain) > _MIN_LAST4:
                return f"[redacted:{rule}:*{''.join(plain[-4:])}]"
        elif mode == "hmac" and self._key is not None:
            plain_text = "".join(c for c in secret if c.isalnum()) or secret
            digest = hmac.new(self._key, plain_text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()
            return f"[redacted:{rule}:~{digest[:16].translate(_LETTERS)}]"
        elif mode == "range":
            return _range(rule, secret)
        return f"[redacted:{rule}]"


def _range(rule: str, secret: str) -> str:
    try:
        amount = abs(float(secret))
    except ValueError:
        return f"[redacted:{rule}]"
    if not math.isfinite(amount):
        return f"[redacted:{rule}]"
    power = 0 if amount <= 1 else math.ceil(math.log10(amount))
    return f"[redacted:{rule}:<=10^{power}]"


def shows_nothing(rule: str, value: str) -> bool:
    """Return whether a sensitive name's value shows nothing: it is empty, was redacted earlier, or truncated."""
    if not value.strip() or MARKER.fullmatch(value) or value in _NOTHING or set(value) <= {"*"}:
        return True
    return rule not in NEVER_SHOWN and bool(TRUNCATED.fullmatch(value))
