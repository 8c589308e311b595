"""Ids in Sentry's events are unchanged even if they look like card numbers; other values are redacted."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from leaks import shows
from mita_otel.redaction import Redactor

CARD = "4111111111111111"
LONG = f"{CARD}aabbccddeeff0011"
REDACTOR = Redactor()


@pytest.mark.parametrize(
    "event",
    [
        {"event_id": LONG},
        {"contexts": {"trace": {"type": "trace", "trace_id": LONG, "span_id": CARD, "parent_span_id": CARD}}},
        {"spans": [{"trace_id": LONG, "span_id": CARD, "parent_span_id": CARD, "op": "http.client"}]},
        {"items": [{"trace_id": LONG, "span_id": CARD, "name": "GET /"}]},
        {
            "debug_meta": {
                "images": [{"type": "elf", "debug_id": LONG, "code_id": LONG, "image_addr": f"0x{CARD}"}]
            }
        },
        {"exception": {"values": [{"stacktrace": {"frames": [{"instruction_addr": f"0x{CARD}"}]}}]}},
    ],
)
def test_ids_and_addresses_are_unchanged(event: dict[str, Any]) -> None:
    tally: Counter[str] = Counter()
    assert REDACTOR.event(event, tally) == event
    assert not tally


@pytest.mark.parametrize(
    "event",
    [
        {"contexts": {"trace": {"span_id": "4111 1111 1111 1111", "trace_id": LONG}}},
        {"contexts": {"trace": {"trace_id": LONG, "data": {"span_id": "4111 1111 1111 1111"}}}},
        {"contexts": {"trace": {"trace_id": LONG, "data": {"card_number": CARD}}}},
        {"contexts": {"trace": {"trace_id": LONG, "description": f"pay with {CARD}"}}},
        {"contexts": {"trace": {"trace_id": LONG, "password": "hunter2-hunter2"}}},
        {"contexts": {"financial": {"span_id": CARD}, "trace": {"trace_id": LONG}}},
        {"extra": {"trace_id": CARD}},
        {"spans": [{"span_id": f"{CARD}x", "op": "x"}]},
        {"debug_meta": {"images": [{"debug_file": f"/data/{CARD}/x.so"}]}},
    ],
)
def test_invalid_ids_are_redacted(event: dict[str, Any]) -> None:
    shown = str(REDACTOR.event(event))
    assert not shows(shown.replace(LONG, ""))
    assert "hunter2" not in shown


@pytest.mark.parametrize("trace", [None, 5, "text", [], {}, {"trace_id": 7}, {"trace_id": None}])
def test_a_malformed_trace_context_is_unchanged(trace: Any) -> None:
    assert REDACTOR.event({"contexts": {"trace": trace}}) == {"contexts": {"trace": trace}}


@pytest.mark.parametrize(
    "event",
    [
        {CARD: 1},
        {"exception": {f"card {CARD}": 1}},
        {"exception": {"values": [{"4111 1111 1111 1111": 1}]}},
        {"spans": [{CARD: 1}]},
        {"contexts": {CARD: {CARD: 1}}},
        {"measurements": {CARD: {"value": 1}}},
    ],
)
def test_secrets_in_keys_are_redacted(event: dict[str, Any]) -> None:
    assert not shows(REDACTOR.event(event))


def test_measurement_keys_are_unchanged() -> None:
    event = {"measurements": {"p95": {"value": 1}, "frames_slow": {"value": 2}, "lcp-1.x": {"value": 3}}}
    assert REDACTOR.event(event) == event
