"""Decompresses a request body, and stops at decompression bombs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from mita_otel.mobile.envelope import EnvelopeError

_CHUNK: Final = 1 << 16
_ALWAYS_ALLOWED: Final = 1 << 20
"""Output size that is always allowed."""

try:
    import brotli
except ImportError:  # pragma: no cover - the extra `mobile` is not installed
    brotli = None


class UnsupportedEncodingError(Exception):
    """The Content-Encoding is not supported."""


def known_encodings() -> tuple[str, ...]:
    """Return the supported encodings."""
    return ("gzip", "deflate", *(("br",) if brotli is not None else ()))


def decompress(body: bytes, encoding: str, *, max_size: int, max_ratio: int) -> bytes:
    """Return the decompressed body.

    Args:
        body: The raw body.
        encoding: The request's `Content-Encoding`. Empty: none.
        max_size: Maximum bytes of the result.
        max_ratio: Maximum ratio of result to `body`, above one megabyte.

    Raises:
        EnvelopeError: The result is too large, or the body is damaged.
        UnsupportedEncodingError: The encoding is not supported, or there are several.
    """
    name = encoding.strip().lower()
    if name in ("", "identity"):
        if len(body) > max_size:
            raise EnvelopeError("too_large", f"an envelope is limited to {max_size} bytes")
        return body
    if name not in known_encodings():
        raise UnsupportedEncodingError(name)
    most = min(max_size, max(_ALWAYS_ALLOWED, len(body) * max_ratio))
    parts: list[bytes] = []
    size = 0
    for part in _UNPACKERS[name](body):
        size += len(part)
        if size > most:
            reason = "too_large" if size > max_size else "bomb"
            raise EnvelopeError(reason, f"the request decompresses to more than {most} bytes")
        parts.append(part)
    return b"".join(parts)


def _gzip(body: bytes) -> Iterator[bytes]:
    return _zlib_stream(body, zlib.MAX_WBITS | 16)


def _deflate(body: bytes) -> Iterator[bytes]:
    # With a zlib header, as the standard says, or without, as some clients send it.
    with_header = len(body) >= 2 and body[0] & 0x0F == 8 and (body[0] << 8 | body[1]) % 31 == 0
    return _zlib_stream(body, zlib.MAX_WBITS if with_header else -zlib.MAX_WBITS)


def _zlib_stream(body: bytes, window: int) -> Iterator[bytes]:
    stream = zlib.decompressobj(window)
    rest = body
    while not stream.eof:
        try:
            part = stream.decompress(rest, _CHUNK)
        except zlib.error as error:
            raise _damaged() from error
        if not part and not stream.unconsumed_tail and not stream.eof:
            raise _damaged()
        rest = stream.unconsumed_tail
        yield part
    if stream.unused_data.strip(b"\x00"):
        raise _damaged()


def _brotli(body: bytes) -> Iterator[bytes]:
    stream: Any = brotli.Decompressor()
    try:
        yield stream.process(body, output_buffer_limit=_CHUNK)
        while not stream.is_finished():
            part = stream.process(b"", output_buffer_limit=_CHUNK)
            if not part and not stream.is_finished():
                raise _damaged()
            yield part
    except brotli.error as error:
        raise _damaged() from error


def _damaged() -> EnvelopeError:
    return EnvelopeError("bad_encoding", "the body does not match its Content-Encoding")


_UNPACKERS: Final[dict[str, Callable[[bytes], Iterator[bytes]]]] = {
    "gzip": _gzip,
    "deflate": _deflate,
    "br": _brotli,
}
