"""Parses Sentry envelopes as specified: a header line, then items with or without a length."""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from typing import Any

import brotli


@dataclass(frozen=True)
class Item:
    """One item of an envelope."""

    header: dict[str, Any]
    payload: bytes

    @property
    def type(self) -> str:
        return str(self.header["type"])

    def json(self) -> dict[str, Any]:
        parsed = json.loads(self.payload)
        assert isinstance(parsed, dict)
        return parsed


def decode_body(body: bytes, encoding: str) -> bytes:
    """Undo the Content-Encoding of a request."""
    match encoding.strip().lower():
        case "" | "identity":
            return body
        case "gzip":
            return gzip.decompress(body)
        case "deflate":
            return zlib.decompress(body)
        case "br":
            decoded: bytes = brotli.decompress(body)
            return decoded
    raise ValueError(f"no such content encoding: {encoding!r}")


def parse_envelope(body: bytes) -> tuple[dict[str, Any], list[Item]]:
    """Return the envelope's header and its items."""
    head, _, rest = body.partition(b"\n")
    items: list[Item] = []
    while rest:
        line, _, rest = rest.partition(b"\n")
        if not line.strip():
            continue
        header = json.loads(line)
        if "length" in header:
            length = int(header["length"])
            if len(rest) < length:
                raise ValueError(f"item of {length} bytes, but only {len(rest)} are left")
            payload, rest = rest[:length], rest[length:]
            if rest and not rest.startswith(b"\n"):
                raise ValueError("an item does not end where its header says")
            rest = rest[1:]
        else:
            payload, _, rest = rest.partition(b"\n")
        items.append(Item(header, payload))
    return json.loads(head), items
