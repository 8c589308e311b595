"""A hundred malformed requests, each with the expected response. They are written by hand, not recorded."""

from __future__ import annotations

import gzip
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import brotli

from mobile.kit import AUTH, KEY, PROJECT, envelope, recorded

CARD = b"4111 1111 1111 1111"
"""A secret in each of them, where it fits: it must never reach the spool, a response or the upstream."""

EVENT = json.dumps({"event_id": "a" * 32, "message": CARD.decode()}).encode()
HEADER = json.dumps({"event_id": "a" * 32, "dsn": f"https://{KEY}@gateway.example/42"}).encode()


@dataclass(frozen=True)
class Malformed:
    """A request, and its expected response."""

    name: str
    body: bytes
    status: int
    reason: str = ""
    """The counted reason; empty: the request is accepted without its invalid items."""
    headers: Mapping[str, str] = field(default_factory=dict)
    path: str = f"/api/{PROJECT}/envelope/"
    auth: bool = True
    forwarded: int = 0
    """The number of items that are still forwarded."""

    @property
    def all_headers(self) -> dict[str, str]:
        return {**(AUTH if self.auth else {}), **self.headers}


def item(header: Any, payload: bytes = EVENT) -> bytes:
    said = header if isinstance(header, bytes) else json.dumps(header).encode()
    return b"\n".join([HEADER, said, payload])


def of(kind: str, payload: bytes) -> bytes:
    return item({"type": kind, "length": len(payload)}, payload)


def nested(depth: int, opening: bytes, closing: bytes) -> bytes:
    return opening * depth + b"1" + closing * depth


def tunnel(name: str, body: bytes, status: int, reason: str) -> Malformed:
    return Malformed(name, body, status, reason, path="/tunnel", auth=False)


GZIP = {"content-encoding": "gzip"}
DEFLATE = {"content-encoding": "deflate"}
BROTLI = {"content-encoding": "br"}

WHOLE = envelope(("event", EVENT))
ZIPPED = gzip.compress(WHOLE)
BOMB = HEADER + b"\n" + b'{"type":"event"}\n' + b" " * 60_000_000

FRAMES = [
    Malformed("nothing", b"", 400, "empty"),
    Malformed("blanks", b"   \r\n\t\n  ", 400, "empty"),
    Malformed("a NUL", b"\x00", 400, "header_not_json"),
    Malformed("text", b"hello " + CARD, 400, "header_not_json"),
    Malformed("a list for a header", b"[]\n" + EVENT, 400, "header_not_json"),
    Malformed("a text for a header", b'"x"\n' + EVENT, 400, "header_not_json"),
    Malformed("a number for a header", b"42", 400, "header_not_json"),
    Malformed("null for a header", b"null", 400, "header_not_json"),
    Malformed("a truncated header", b'{"event_id":"aaa', 400, "header_not_json"),
    Malformed("two headers in one line", b"{}{}", 400, "header_not_json"),
    Malformed("a header with a comment", b'{/* x */"a":1}', 400, "header_not_json"),
    Malformed("a header in Latin-1", b'{"environment":"caf\xe9"}', 400, "header_not_json"),
    Malformed("a header in UTF-16", HEADER.decode().encode("utf-16"), 400, "header_not_json"),
    Malformed("a header with a byte order mark", b"\xef\xbb\xbf" + WHOLE, 400, "header_not_json"),
    Malformed("a header with half a surrogate", b'{"a":"\\ud800"}', 400, "header_not_json"),
    Malformed("a header with NaN", b'{"a":NaN}', 400, "header_not_json"),
    Malformed("a header of 20 kilobytes", b'{"a":"' + b"x" * 20_000 + b'"}', 413, "header_too_large"),
    Malformed("a header without an end", b'{"a":"' + b"x" * 500_000, 413, "header_too_large"),
    Malformed("a header nested deeply", b'{"a":' + nested(7000, b"[", b"]") + b"}", 400, "header_not_json"),
    Malformed("an id that is a number", b'{"event_id":5}', 400, "bad_event_id"),
    Malformed("an id that is too short", b'{"event_id":"abc"}', 400, "bad_event_id"),
    Malformed("an id that is a path", b'{"event_id":"../../etc/passwd"}', 400, "bad_event_id"),
    Malformed("an id that is a list", b'{"event_id":["a"]}', 400, "bad_event_id"),
    Malformed("an item's header that is text", HEADER + b"\nhello\n" + EVENT, 400, "item_header_not_json"),
    Malformed("an item's header that is a list", HEADER + b"\n[1]\n" + EVENT, 400, "item_header_not_json"),
    Malformed("an item's header that is truncated", HEADER + b'\n{"type":"eve', 400, "item_header_not_json"),
    Malformed(
        "an item's header that is binary", HEADER + b"\n\xff\xd8\xff\xe0\n", 400, "item_header_not_json"
    ),
    Malformed(
        "an item's header of 20 kilobytes",
        item({"type": "event", "x": "y" * 20_000}),
        413,
        "header_too_large",
    ),
    Malformed("no type", item({"length": len(EVENT)}), 400, "no_type"),
    Malformed("a type that is null", item({"type": None}), 400, "no_type"),
    Malformed("a type that is a number", item({"type": 7}), 400, "no_type"),
    Malformed("a type that is empty", item({"type": ""}), 400, "no_type"),
    Malformed("a type of 65 letters", item({"type": "x" * 65}), 400, "no_type"),
    Malformed("a length below zero", item({"type": "event", "length": -1}), 400, "bad_length"),
    Malformed(
        "a length that is a text", item({"type": "event", "length": str(len(EVENT))}), 400, "bad_length"
    ),
    Malformed("a length that is a fraction", item({"type": "event", "length": 2.5}), 400, "bad_length"),
    Malformed("a length that is true", item({"type": "event", "length": True}), 400, "bad_length"),
    Malformed("a length that is a list", item({"type": "event", "length": [1]}), 400, "bad_length"),
    Malformed("a length of 10^30", item(b'{"type":"event","length":1%s}' % (b"0" * 30)), 400, "bad_length"),
    Malformed("a length of 2^63", item({"type": "event", "length": 2**63}), 400, "truncated"),
    Malformed(
        "a length that is one too small", item({"type": "event", "length": len(EVENT) - 1}), 400, "bad_length"
    ),
    Malformed(
        "a length that is one too large", item({"type": "event", "length": len(EVENT) + 1}), 400, "truncated"
    ),
    Malformed("a length of zero before a payload", item({"type": "event", "length": 0}), 400, "bad_length"),
    Malformed(
        "a length that hides the next item",
        of("event", EVENT).replace(b"\n{", b"\n {", 0) + b"x",
        400,
        "bad_length",
    ),
    Malformed("an envelope truncated in its payload", WHOLE[:-10], 400, "truncated"),
    Malformed("an envelope truncated before its payload", WHOLE[: WHOLE.rindex(b"\n")], 400, "truncated"),
    Malformed("101 items", HEADER + b'\n{"type":"session","length":2}\n{}' * 101, 413, "too_many_items"),
    Malformed("a million empty lines", HEADER + b"\n" * 1_000_000, 200),
    Malformed("an HTML form", b"sentry_key=1&message=" + CARD, 400, "header_not_json"),
    Malformed("XML", b"<?xml version='1.0'?><event>" + CARD + b"</event>", 400, "header_not_json"),
    Malformed(
        "multipart",
        b'--x\r\nContent-Disposition: form-data; name="sentry"\r\n\r\n{}\r\n--x--',
        400,
        "header_not_json",
    ),
]

PACKED = [
    Malformed("gzip that is not compressed", WHOLE, 400, "bad_encoding", GZIP),
    Malformed("truncated gzip", ZIPPED[:-9], 400, "bad_encoding", GZIP),
    Malformed("gzip without its checksum", ZIPPED[:-8], 400, "bad_encoding", GZIP),
    Malformed(
        "gzip with a wrong checksum",
        ZIPPED[:-8] + struct.pack("<II", 1, len(WHOLE)),
        400,
        "bad_encoding",
        GZIP,
    ),
    Malformed("gzip with trailing bytes", ZIPPED + b"\nmore", 400, "bad_encoding", GZIP),
    Malformed("gzip twice in a row", ZIPPED + ZIPPED, 400, "bad_encoding", GZIP),
    Malformed("gzip in gzip", gzip.compress(ZIPPED), 400, "header_not_json", GZIP),
    Malformed("gzip of nothing", gzip.compress(b""), 400, "empty", GZIP),
    Malformed("gzip without a Content-Encoding", ZIPPED, 400, "header_not_json"),
    Malformed("a gzip bomb", gzip.compress(BOMB, 9), 413, "bomb", GZIP),
    Malformed("a deflate bomb", zlib.compress(BOMB, 9), 413, "bomb", DEFLATE),
    Malformed("a brotli bomb", brotli.compress(BOMB, quality=5), 413, "bomb", BROTLI),
    Malformed(
        "a gzip of 60 megabytes", gzip.compress(bytes(range(250)) * 240_000, 1), 413, "too_large", GZIP
    ),
    Malformed("deflate that is gzip", ZIPPED, 400, "bad_encoding", DEFLATE),
    Malformed("deflate that is noise", b"\x78\x9c" + bytes(range(200)), 400, "bad_encoding", DEFLATE),
    Malformed("brotli that is noise", bytes(range(200)), 400, "bad_encoding", BROTLI),
    Malformed("an unknown encoding", WHOLE, 415, "unknown_encoding", {"content-encoding": "zstd"}),
    Malformed("two encodings", ZIPPED, 415, "unknown_encoding", {"content-encoding": "gzip, gzip"}),
    Malformed("an encoding that is a path", WHOLE, 415, "unknown_encoding", {"content-encoding": "../gzip"}),
    Malformed("a request of 21 megabytes", b"x" * 21_000_000, 413, "too_large"),
]

CONTENTS = [
    Malformed("an event that is not JSON", of("event", b"hello " + CARD), 400, "malformed_items"),
    Malformed("an event that is a list", of("event", b"[1]"), 400, "malformed_items"),
    Malformed("an event that is a text", of("event", b'"%s"' % CARD), 400, "malformed_items"),
    Malformed("an event that is empty", of("event", b""), 400, "malformed_items"),
    Malformed("an event that is truncated", of("event", EVENT[:-1]), 400, "malformed_items"),
    Malformed("an event in Latin-1", of("event", b'{"message":"caf\xe9"}'), 400, "malformed_items"),
    Malformed(
        "an event with half a surrogate", of("event", b'{"message":"\\udfff"}'), 400, "malformed_items"
    ),
    Malformed("an event with a NUL", of("event", b'{"message":"\x00"}'), 400, "malformed_items"),
    Malformed(
        "an event nested deeply",
        of("event", b'{"a":' + nested(5000, b"[", b"]") + b"}"),
        400,
        "malformed_items",
    ),
    Malformed("an event in gzip", of("event", gzip.compress(EVENT)), 400, "malformed_items"),
    Malformed("an event of two megabytes", of("event", b'{"message":"' + b"x" * 2_000_000 + b'"}'), 200),
    Malformed(
        "an event nested a hundred levels",
        of("event", b'{"extra":' + nested(100, b'{"a":', b"}") + b"}"),
        200,
        forwarded=1,
    ),
    Malformed(
        "an event whose parts are all wrong",
        of(
            "event",
            json.dumps(
                dict.fromkeys(
                    (
                        "exception",
                        "contexts",
                        "tags",
                        "user",
                        "spans",
                        "sdk",
                        "breadcrumbs",
                        "request",
                        "debug_meta",
                        "threads",
                    ),
                    5,
                )
            ).encode(),
        ),
        200,
        forwarded=1,
    ),
    Malformed("an empty transaction", of("transaction", b"{}"), 200, forwarded=1),
    Malformed(
        "a transaction with wrong spans",
        of("transaction", b'{"spans":[1,null,[],{"span_id":{}}],"contexts":{"trace":[]}}'),
        200,
        forwarded=1,
    ),
    Malformed(
        "a transaction with wrong times",
        of(
            "transaction",
            b'{"start_timestamp":"x","timestamp":1e308,"contexts":{"trace":{"trace_id":"%s","span_id":"%s","op":"screen.render"}}}'
            % (b"c" * 32, b"d" * 16),
        ),
        200,
        forwarded=1,
    ),
    Malformed("spans that are not a list", of("span", b'{"items":{"a":1}}'), 200, forwarded=1),
    Malformed(
        "logs with wrong attributes",
        of("log", b'{"items":[{"attributes":[1]},{"attributes":{"a":5}},7]}'),
        200,
        forwarded=1,
    ),
    Malformed(
        "a session that is a list of lists",
        of("session", b'{"attrs":[[["4111 1111 1111 1111"]]]}'),
        200,
        forwarded=1,
    ),
    Malformed(
        "a good item beside a bad one",
        of("event", b"{") + b"\n" + b'{"type":"session","length":2}\n{}',
        200,
        forwarded=1,
    ),
    Malformed("an unknown item", of("brand_new_type", EVENT), 200),
    Malformed("an item named like an attribute", of("__class__", EVENT), 200),
    Malformed("an item with a type of another script", of("évènement", EVENT), 200),
    Malformed("an attachment with text in it", of("attachment", CARD), 200),
    Malformed("an attachment that looks like an envelope", of("attachment", WHOLE), 200),
    Malformed("a statsd item", of("statsd", b"pay@none:1|c|#card:4111111111111111"), 200),
]

SENDERS = [
    Malformed("no key", WHOLE, 401, "no_key", auth=False),
    Malformed("an empty key", WHOLE, 401, "no_key", {"x-sentry-auth": "Sentry sentry_key="}, auth=False),
    Malformed("an unknown key", WHOLE, 403, "unknown_key", {"x-sentry-auth": f"Sentry sentry_key={'b' * 32}"}),
    Malformed("a key in capitals", WHOLE, 403, "unknown_key", {"x-sentry-auth": f"Sentry sentry_key={KEY.upper()}"}),
    Malformed("another project", WHOLE, 403, "unknown_key", path="/api/43/envelope/"),
    Malformed("a bearer token", WHOLE, 401, "no_key", {"authorization": f"Bearer {KEY}"}, auth=False),
    Malformed("a header of ten kilobytes", WHOLE, 401, "no_key", {"x-sentry-auth": "Sentry " + "x" * 10_000 + f", sentry_key={KEY}"}, auth=False),
    Malformed("a key in the envelope only", WHOLE, 401, "no_key", auth=False),
    tunnel("a tunnel without a dsn", b"{}\n" + b'{"type":"event"}\n' + EVENT, 401, "no_key"),
    tunnel("a tunnel with an unknown key", WHOLE.replace(KEY.encode(), b"b" * 32), 403, "unknown_key"),
    tunnel("a tunnel to another project", WHOLE.replace(b"/42", b"/1"), 403, "unknown_key"),
    tunnel("a tunnel whose dsn is a file", WHOLE.replace(b"https://", b"file://").replace(KEY.encode() + b"@", b""), 403, "unknown_key"),
    tunnel("a tunnel whose dsn is a number", b'{"dsn":5}', 401, "no_key"),
    tunnel("a tunnel with a broken envelope", recorded("javascript_tunnel")[:-3] + b"\xff", 400, "malformed_items"),
]  # fmt: skip

MALFORMED = [*FRAMES, *PACKED, *CONTENTS, *SENDERS]
