"""A record is read as it was written, or rejected as damaged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exploring import examples
from mita_otel.mobile.destinations import DamagedRecordError, SpoolRecord, decode_record, encode_record
from mita_otel.mobile.rate_limits import PRIORITIES
from mita_otel.policy.mobile import Priority
from mobile.spool_kit import record


@given(st.binary(max_size=200), st.sampled_from(PRIORITIES), st.floats(0, 1e10))
def test_a_record_is_equal_after_writing_and_reading(payload: bytes, priority: Priority, at_s: float) -> None:
    one = SpoolRecord("sentry", "app", priority, ("error", "span"), "envelope", at_s, {"a": {"b": [1, "\n"]}})
    assert decode_record(encode_record(one, payload)) == (one, payload)


@given(st.integers(0, 10_000), st.integers(0, 255))
@settings(max_examples=examples(200))
def test_a_changed_or_truncated_record_is_rejected(at: int, byte: int) -> None:
    content = encode_record(record(), b"payload" * 10)
    at %= len(content)
    changed = content[:at] + bytes([byte]) + content[at + 1 :]
    for damaged in (content[:at], changed):
        try:
            read = decode_record(damaged)
        except DamagedRecordError:
            continue
        # The checksum does not cover the first line; a changed payload is never accepted.
        assert read[1] == b"payload" * 10


@pytest.mark.parametrize(
    "content", [b"", b"\n", b"{}\n", b"[]\nx", b"5\n", b"\xff\n", b'{"v":1}\n', b'{"v":2}\nx']
)
def test_arbitrary_bytes_are_a_damaged_record(content: bytes) -> None:
    with pytest.raises(DamagedRecordError):
        decode_record(content)
