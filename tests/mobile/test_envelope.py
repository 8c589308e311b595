"""Envelopes are parsed as Sentry's specification says; malformed bytes raise only EnvelopeError."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sentry_sdk.envelope import Envelope as Oracle

from leaks import shows
from mita_otel.mobile.envelope import (
    EnvelopeBounds,
    EnvelopeError,
    Item,
    parse_envelope,
    write_envelope,
    write_items,
)
from mobile.kit import SHAPES, recorded

BOUNDS = EnvelopeBounds(max_header=16_384, max_items=100)


def shown(kind: str, payload: bytes) -> Any:
    """Normalise JSON: sentry-sdk parses events and transactions, and serialises them differently."""
    return json.loads(payload) if kind in {"event", "transaction"} else payload


@pytest.mark.parametrize("name", SHAPES)
def test_recorded_envelopes_are_parsed_as_sentry_sdk_parses_them(name: str) -> None:
    body = recorded(name)
    read, oracle = parse_envelope(body, BOUNDS), Oracle.deserialize(body)
    assert read.header == oracle.headers
    for ours, theirs in zip(read.items, oracle.items, strict=True):
        assert set(ours.header.items()) <= set(theirs.headers.items())
        assert shown(ours.type, bytes(ours.payload)) == shown(ours.type, theirs.get_bytes())


@pytest.mark.parametrize("name", SHAPES)
def test_written_envelopes_are_read_by_both_parsers(name: str) -> None:
    read = parse_envelope(recorded(name), BOUNDS)
    written = write_envelope(read.header, write_items(read.items))
    again, oracle = parse_envelope(written, BOUNDS), Oracle.deserialize(written)
    assert [bytes(item.payload) for item in again.items] == [bytes(item.payload) for item in read.items]
    assert [shown(str(item.type), item.get_bytes()) for item in oracle.items] == [
        shown(item.type, bytes(item.payload)) for item in read.items
    ]


JSON_HEADERS = st.dictionaries(st.text(max_size=8), st.integers(0, 9) | st.text(max_size=8), max_size=3)


@given(
    JSON_HEADERS,
    st.lists(st.tuples(st.text("abcdef_", min_size=1, max_size=8), st.binary(max_size=64)), max_size=5),
)
def test_any_items_are_equal_after_writing_and_reading(
    header: dict[str, Any], items: list[tuple[str, bytes]]
) -> None:
    written = write_envelope(header, write_items(Item({"type": kind}, payload) for kind, payload in items))
    read = parse_envelope(written, BOUNDS)
    assert read.header == header
    assert [(item.type, bytes(item.payload)) for item in read.items] == items


@given(st.binary(max_size=400))
def test_arbitrary_bytes_raise_only_envelope_errors(body: bytes) -> None:
    with contextlib.suppress(EnvelopeError):
        parse_envelope(body, BOUNDS)


LINES = st.sampled_from(
    [
        b"{}",
        b"",
        b'{"type":"log"}',
        b'{"type":"log","length":2}',
        b'{"type":"log","length":0}',
        b'{"type":"attachment","length":3}',
        b'{"type":"log","length":null}',
        b"ab",
        b"\xff\xfe",
        b" ",
        b'{"type":5}',
        b"[]",
    ]
)


@given(st.lists(LINES, max_size=9), st.booleans())
def test_envelopes_accepted_by_both_parsers_are_parsed_alike(lines: list[bytes], end: bool) -> None:
    """sentry-sdk's parser stops at an empty line, and does not check the end of a payload."""
    body = b"\n".join(lines) + (b"\n" if end else b"")
    try:
        read = parse_envelope(body, BOUNDS)
    except EnvelopeError:
        return
    if any(not line.strip() for line in lines):
        return
    oracle = Oracle.deserialize(body)
    assert [bytes(item.payload) for item in read.items] == [item.get_bytes() for item in oracle.items]


@given(st.integers(0, 5000))
def test_a_truncated_envelope_is_refused_or_has_no_items(cut: int) -> None:
    body = recorded("payment_error")
    try:
        read = parse_envelope(body[:cut], BOUNDS)
    except EnvelopeError:
        return
    assert len(read.items) == 0 or cut >= len(body)


def test_payloads_are_views_and_binary_ones_are_not_decoded() -> None:
    body = recorded("native_crash")
    items = parse_envelope(body, BOUNDS).items
    assert isinstance(items[2].payload, memoryview)
    assert bytes(items[2].payload).startswith(b"MDMP\x93")


@pytest.mark.parametrize(
    ("body", "items"),
    [
        (b"{}", []),
        (b"{}\n", []),
        (b"{}\n\n\n", []),
        (b'{}\n{"type":"event"}\n{}', [b"{}"]),
        (b'{}\r\n{"type":"event"}\r\n{}\r\n', [b"{}\r"]),
        (b'{}\n{"type":"event","length":2}\n{}\n', [b"{}"]),
        (b'{}\n\n{"type":"event","length":2}\n{}\n\n{"type":"x","length":0}\n\n', [b"{}", b""]),
        (b'{}\n{"type":"x","length":0}', [b""]),
        (b'{}\n{"type":"x"}', [b""]),
        (b'{}\n{"type":"x","length":3}\na\nb', [b"a\nb"]),
    ],
)
def test_items_are_read_with_and_without_length_and_final_newline(body: bytes, items: list[bytes]) -> None:
    assert [bytes(item.payload) for item in parse_envelope(body, BOUNDS).items] == items


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "empty"),
        (b" \n\r\n ", "empty"),
        (b"x", "header_not_json"),
        (b"[]", "header_not_json"),
        (b"\xff\xfe{}", "header_not_json"),
        (b"[" * 5000, "header_not_json"),
        (b"{" + b" " * 20_000 + b"}", "header_too_large"),
        (b"{}\nx", "item_header_not_json"),
        (b"{}\n5\n", "item_header_not_json"),
        (b'{}\n{"type":"' + b"x" * 20_000 + b'"}', "header_too_large"),
        (b'{}\n{"length":2}\n{}', "no_type"),
        (b'{}\n{"type":null}\n{}', "no_type"),
        (b'{}\n{"type":""}\n{}', "no_type"),
        (b'{}\n{"type":"' + b"x" * 65 + b'"}\n{}', "no_type"),
        (b'{}\n{"type":"x","length":-1}\n{}', "bad_length"),
        (b'{}\n{"type":"x","length":true}\n{}', "bad_length"),
        (b'{}\n{"type":"x","length":"2"}\n{}', "bad_length"),
        (b'{}\n{"type":"x","length":2.0}\n{}', "bad_length"),
        (b'{}\n{"type":"x","length":1}\n{}', "bad_length"),
        (b'{}\n{"type":"x","length":3}\n{}', "truncated"),
        (b'{}\n{"type":"x","length":99999999999999999999}\n{}', "bad_length"),
        (b'{}\n{"type":"x","length":1e99}\n{}', "bad_length"),
        (b"{}\n" + b'{"type":"x","length":0}\n\n' * 101, "too_many_items"),
    ],
)
def test_a_malformed_envelope_is_refused_with_the_reason(body: bytes, reason: str) -> None:
    with pytest.raises(EnvelopeError) as caught:
        parse_envelope(body, BOUNDS)
    assert caught.value.reason == reason


def test_the_reason_quotes_no_content() -> None:
    with pytest.raises(EnvelopeError) as caught:
        parse_envelope(b'{}\n{"type":"x","length":"4111111111111111"}\n{}', BOUNDS)
    assert not shows(caught.value)


def test_the_last_of_duplicate_keys_is_read_and_written() -> None:
    read = parse_envelope(b'{"event_id":"a","event_id":"b"}', BOUNDS)
    assert json.loads(write_envelope(read.header, b"")) == {"event_id": "b"}
