"""Secrets in Base64 and hexadecimal text: what decodes to text with a secret is redacted as a whole."""

from __future__ import annotations

import base64
import binascii
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from mita_otel.redaction.finders.hit import Hit

_ENCODED: Final = re.compile(
    r"(?<![A-Za-z0-9+/_\-])(?:(?P<hex>(?:0[xX])?(?:[0-9a-f]{2}){8,2048}|(?:0[xX])?(?:[0-9A-F]{2}){8,2048})(?![A-Za-z0-9+/_\-=])"
    r"|(?P<base64>(?=[A-Z0-9a-z]{0,24}[A-Z])[A-Za-z0-9+/]{14,4096}={0,2}|(?=[A-Z0-9a-z]{0,24}[A-Z])[A-Za-z0-9_\-]{14,4096}={0,2})(?![A-Za-z0-9+/_\-=]))"
)
_MOST: Final = 64
"""Encoded parts of one text that are decoded."""
_SAMPLE: Final = 16
"""Characters that are decoded first: nearly no other text decodes to printable characters."""
_PRINTABLE: Final = re.compile(rb"[\t\r\n -~\x80-\xff]*")
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
        for match in itertools.islice(_ENCODED.finditer(text), _MOST):
            decoded = _decoded(match)
            if decoded is None or _OBJECT_ID.fullmatch(decoded):
                continue
            rule = next((hit.rule for hit in self._scan(decoded)), None)
            if rule is not None:
                yield Hit(match.start(), match.end(), rule)


def _decoded(match: re.Match[str]) -> str | None:
    """Return the text that is encoded, or None if it is no text."""
    encoded = match.group()
    decode = _from_hex if match["hex"] else _from_base64
    sample = decode(encoded[:_SAMPLE])
    if sample is None or not _PRINTABLE.fullmatch(sample):
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


def _from_base64(encoded: str) -> bytes | None:
    standard = encoded.rstrip("=").translate(_STANDARD)
    if len(standard) % 4 == 1:  # the rest of a text that was cut
        standard = standard[:-1]
    try:
        return base64.b64decode(standard + "=" * (-len(standard) % 4))
    except (ValueError, binascii.Error):
        return None


_STANDARD: Final = str.maketrans("-_", "+/")
