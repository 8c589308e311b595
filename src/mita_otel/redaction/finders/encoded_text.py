"""Secrets in Base64 and hexadecimal text: what decodes to text with a secret is redacted as a whole."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Hit

_RUN: Final = re.compile(r"\b[A-Za-z0-9+/_\-]{14,8192}={0,2}")
_PART: Final = re.compile(r"[^/]{14,}")
_HEX: Final = re.compile(r"(?:0[xX])?(?:[0-9a-f]{16,}|[0-9A-F]{16,})")
_HEX_OF_TEXT: Final = re.compile(r"(?:0[xX])?(?:[2-7][0-9A-Fa-f]|0[9aAdD]){6}")
_MOST: Final = 64
"""Encoded parts of one text that are decoded."""
_SAMPLE: Final = 16
"""Characters that are decoded first: nearly no other text decodes to printable characters."""
_PRINTABLE: Final = re.compile(rb"[\t\r\n -~\x80-\xff]*")
_MIN_ASCII: Final = re.compile(rb"[\t\r\n -~]{6}")
"""What decoded text begins with, nearly always."""
_OBJECT_ID: Final = re.compile(r"[A-Z][A-Za-z]{0,63}:[\w\-]{1,64}")
"""A type and a number, as in the global ids of GraphQL."""


class EncodedTextFinder:
    """Finds encoded text that holds a secret.

    Args:
        scan: Returns the secrets in a decoded text.
    """

    def __init__(self, scan: Callable[[str], Iterable[Hit]]) -> None:
        self._scan = scan

    def __call__(self, text: str) -> Iterator[Hit]:
        """Yield encoded texts as a whole. Linear: a decoded text is shorter, and only so many are decoded."""
        for run in itertools.islice(_RUN.finditer(text), _MOST):
            if rule := self._rule_of(run[0]):
                yield Hit(run.start(), run.end(), rule)
            elif "/" in run[0]:  # a path with encoded text as a segment
                for part in itertools.islice(_PART.finditer(text, run.start(), run.end()), _MOST):
                    if rule := self._rule_of(part[0]):
                        yield Hit(part.start(), part.end(), rule)

    def _rule_of(self, encoded: str) -> str | None:
        """Return the rule of a secret that is encoded, or None."""
        decoded = _decoded(encoded)
        if decoded is None or _OBJECT_ID.fullmatch(decoded):
            return None
        return next((hit.rule for hit in self._scan(decoded)), None)


def _decoded(encoded: str) -> str | None:
    """Return the text that is encoded, or None if it is no text."""
    decode = _from_base64
    if _HEX.fullmatch(encoded):
        if not _HEX_OF_TEXT.match(encoded):
            return None
        decode = _from_hex
    sample = decode(encoded[:_SAMPLE])
    if sample is None or not _MIN_ASCII.match(sample):
        return None
    whole = decode(encoded) or b""
    if not _PRINTABLE.fullmatch(whole):
        return None
    try:
        return whole.decode()
    except UnicodeDecodeError:
        return None


def _from_hex(encoded: str) -> bytes | None:
    digits = encoded[2:] if encoded[:2].lower() == "0x" else encoded
    return bytes.fromhex(digits[: len(digits) // 2 * 2])


_STANDARD: Final = str.maketrans("-_", "+/")


def _from_base64(encoded: str) -> bytes | None:
    standard = encoded.rstrip("=").translate(_STANDARD)
    if len(standard) % 4 == 1:  # the rest of a text that was cut
        standard = standard[:-1]
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4))
    except (ValueError, binascii.Error):
        return None
