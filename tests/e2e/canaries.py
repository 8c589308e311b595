"""Secrets that are sent into a service, and the search for them in every byte that comes out.

Numbers are the card schemes' published test numbers and documentation examples; nothing here is a real secret.
"""

from __future__ import annotations

import base64
import binascii
import html
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import quote, unquote_to_bytes


@dataclass(frozen=True)
class Canary:
    """A secret, and the part of a request that contains it."""

    place: str
    secret: str


PATH = Canary("path", "4111111111111111")
QUERY_CARD = Canary("query, by value", "5555-5555-5555-4444")
QUERY_TOKEN = Canary("query, by key", "tok-qW8xZr2LmN5v")
HEADER = Canary("header", "hdr-Jp7Kd0WsVb4y")
BODY = Canary("body", "bdy-Xc6Vn1Mq9TzR")
PARAMETER = Canary("SQL parameter", "3782 822463 10005")
LITERAL = Canary("SQL literal", "6011111111111117")
EXCEPTION = Canary("exception text", "3056 930902 5904")
IDENTITY = Canary("integrity error", "4012888888881881")
RESOURCE = Canary("resource attribute", "rsc-Hf3Gy8Lb2QwE")

ALL = (PATH, QUERY_CARD, QUERY_TOKEN, HEADER, BODY, PARAMETER, LITERAL, EXCEPTION, IDENTITY, RESOURCE)

_ANSI = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]")
_NOT_ALPHANUMERIC = re.compile(rb"[^0-9A-Za-z]+")
_UNICODE_ESCAPE = re.compile(rb"\\u00([0-9a-fA-F]{2})")


def _squash(data: bytes) -> bytes:
    """Leave letters and digits alone, so that neither separators nor line breaks hide anything."""
    return _NOT_ALPHANUMERIC.sub(b"", _ANSI.sub(b"", data)).lower()


def views(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Return the bytes in each encoding that a reader would decode, normalised."""
    yield "plain", _squash(data)
    yield "reversed", _squash(data)[::-1]
    yield "unquoted", _squash(unquote_to_bytes(unquote_to_bytes(data)))
    unescaped = _UNICODE_ESCAPE.sub(lambda match: binascii.unhexlify(match.group(1)), data)
    yield "unescaped", _squash(html.unescape(unescaped.decode("utf-8", "replace")).encode())
    yield "utf-16", _squash(data.replace(b"\x00", b""))


def _encodings(secret: str) -> Iterator[tuple[str, bytes]]:
    """Return the secret in encodings that `views` does not decode, normalised."""
    plain = secret.encode()
    digits = re.sub(r"\D", "", secret)
    for form in {plain, digits.encode() if len(digits) > 8 else plain}:
        yield "hexadecimal", _squash(binascii.hexlify(form))
        for offset in range(3):
            # Base64 depends on the position; its first and last characters on the neighbours.
            encoded = base64.b64encode(b"\x00" * offset + form)
            yield "base64", _squash(encoded)[4 if offset else 0 : -4]
        yield "quoted twice", _squash(quote(quote(form, safe=""), safe="").encode())


def _pieces(secret: str) -> set[bytes]:
    """Return the secret and its long parts: half a card number must not leave either."""
    squashed = _squash(secret.encode())
    size = 10 if squashed.isdigit() else 8
    return {squashed[start : start + size] for start in range(max(1, len(squashed) - size + 1))}


def leaks(data: bytes, secrets: dict[str, str] | None = None) -> list[str]:
    """Return a sentence for each secret in the data, in any encoding.

    Args:
        data: What an exporter wrote.
        secrets: Secret by place; all canaries, if None.
    """
    wanted = secrets or {canary.place: canary.secret for canary in ALL}
    found: list[str] = []
    seen = list(views(data))
    for place, secret in wanted.items():
        for view, text in seen:
            if any(piece in text for piece in _pieces(secret)):
                found.append(f"{place}: {secret!r} is there, {view}")
                break
        else:
            for encoding, needle in _encodings(secret):
                if needle in seen[0][1]:
                    found.append(f"{place}: {secret!r} is there, in {encoding}")
                    break
    return found
