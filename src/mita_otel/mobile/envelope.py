"""Reads untrusted Sentry envelopes, and writes them.

Source: Sentry's envelope specification. A line with the envelope's header, then items: a line with the item's
header, then its payload, as long as the header says, or up to the end of the line.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from mita_otel._json import json_bytes

_NEWLINE: Final = b"\n"
_SPACE: Final = b" \t\r"
_MAX_TYPE: Final = 64
"""Maximum characters of an item's type."""


class EnvelopeError(Exception):
    """The body is not a valid envelope.

    Args:
        reason: A short code, for counting, for example `truncated`.
        detail: A sentence for people, which quotes no data.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class EnvelopeBounds:
    """Limits of an envelope."""

    max_header: int
    """Maximum bytes of the envelope's header, and of an item's."""
    max_items: int
    """Maximum items of one envelope."""


@dataclass(frozen=True, slots=True)
class Item:
    """One item."""

    header: Mapping[str, Any]
    payload: bytes | memoryview

    @property
    def type(self) -> str:
        """The type, for example `transaction`."""
        return str(self.header["type"])


@dataclass(frozen=True, slots=True)
class Envelope:
    """An envelope."""

    header: Mapping[str, Any]
    items: tuple[Item, ...] = field(default=())


def parse_envelope(body: bytes, bounds: EnvelopeBounds) -> Envelope:
    """Read an envelope. Payloads are views into `body`: nothing is copied, and none is decoded.

    Raises:
        EnvelopeError: The body is not an envelope, or exceeds the bounds.
    """
    if not body.strip():
        raise EnvelopeError("empty", "the request has no body")
    line, offset = _line(body, 0, bounds)
    header = _object(line, "header")
    items: list[Item] = []
    view = memoryview(body)
    while (offset := _skip_blank_lines(body, offset)) < len(body):
        if len(items) >= bounds.max_items:
            raise EnvelopeError("too_many_items", f"an envelope is limited to {bounds.max_items} items")
        line, offset = _line(body, offset, bounds)
        item_header = _item_header(line)
        end = _end_of_payload(body, offset, item_header)
        items.append(Item(item_header, view[offset:end]))
        offset = end + 1
    return Envelope(header, tuple(items))


def write_items(items: Iterable[Item]) -> bytes:
    """Return the items in the format of an envelope. Each header states the current length of its payload."""
    parts: list[bytes | memoryview] = []
    for item in items:
        header = {**item.header, "length": len(item.payload)}
        parts += [json_bytes(header), _NEWLINE, item.payload, _NEWLINE]
    return b"".join(parts)


def write_envelope(header: Mapping[str, Any], items: bytes) -> bytes:
    """Return an envelope with items from `write_items`."""
    return b"".join([json_bytes(header), _NEWLINE, items])


def _line(body: bytes, offset: int, bounds: EnvelopeBounds) -> tuple[bytes, int]:
    """Return a line and the offset of the next one."""
    end = body.find(_NEWLINE, offset, offset + bounds.max_header + 1)
    if end < 0:
        end = len(body)
        if end - offset > bounds.max_header:
            raise EnvelopeError("header_too_large", f"a header is limited to {bounds.max_header} bytes")
    return body[offset:end], end + 1


def _skip_blank_lines(body: bytes, offset: int) -> int:
    while offset < len(body) and (body[offset] in _NEWLINE or body[offset] in _SPACE):
        offset += 1
    return offset


def _object(line: bytes, what: str) -> Mapping[str, Any]:
    try:
        value = orjson.loads(line)
    except (orjson.JSONDecodeError, RecursionError) as error:
        raise EnvelopeError(f"{what}_not_json", f"the {what.replace('_', ' ')} is not JSON") from error
    if not isinstance(value, dict):
        raise EnvelopeError(f"{what}_not_json", f"the {what.replace('_', ' ')} is not a JSON object")
    return value


def _item_header(line: bytes) -> Mapping[str, Any]:
    header = _object(line, "item_header")
    kind = header.get("type")
    if not isinstance(kind, str) or not kind or len(kind) > _MAX_TYPE:
        raise EnvelopeError("no_type", "an item's header has no type")
    length = header.get("length")
    if length is not None and (not isinstance(length, int) or isinstance(length, bool) or length < 0):
        raise EnvelopeError("bad_length", "an item's length is not a whole number of bytes")
    return header


def _end_of_payload(body: bytes, offset: int, header: Mapping[str, Any]) -> int:
    length = header.get("length")
    if length is None:
        end = body.find(_NEWLINE, offset)
        return max(offset, len(body)) if end < 0 else end
    end = offset + int(length)
    if end > max(offset, len(body)):
        raise EnvelopeError("truncated", "an item is shorter than its header says")
    if end < len(body) and body[end] not in _NEWLINE:
        raise EnvelopeError("bad_length", "an item is longer than its header says")
    return end


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
