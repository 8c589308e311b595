"""Spans of an app are read from transactions, span items and streamed spans; invalid ones are left out."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.mobile.app_spans import AppSpan, seconds_of, spans_of_item, spans_of_transaction
from mobile.kit import transaction


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (1_700_000_000, 1_700_000_000),
        (1_700_000_000.25, 1_700_000_000.25),
        ("2023-11-14T22:13:20.250Z", 1_700_000_000.25),
        ("2023-11-14T22:13:20", 1_700_000_000),
        ("2023-11-14T23:13:20+01:00", 1_700_000_000),
        ("9999-12-31T23:59:59Z", 253402300799),
        (True, None),
        (-1, None),
        (1e300, None),
        (float("nan"), None),
        ("soon", None),
        ("", None),
        (None, None),
        ([], None),
    ],
)
def test_timestamps_of_each_form_become_seconds(value: Any, seconds: float | None) -> None:
    assert seconds_of(value) == seconds


@pytest.mark.parametrize(
    "change",
    [
        {"contexts": None},
        {"contexts": []},
        {"contexts": {"trace": "x"}},
        {"contexts": {"trace": {"trace_id": "0" * 32, "span_id": "d" * 16}}},
        {"contexts": {"trace": {"trace_id": "x" * 32, "span_id": "d" * 16}}},
        {"contexts": {"trace": {"trace_id": "c" * 31, "span_id": "d" * 16}}},
        {"contexts": {"trace": {"trace_id": 5, "span_id": None}}},
        {"start_timestamp": None},
        {"timestamp": "never"},
    ],
)
def test_a_root_without_ids_or_times_is_left_out(change: dict[str, Any]) -> None:
    assert spans_of_transaction({**transaction(), **change}) == []


@pytest.mark.parametrize("spans", [None, 5, "x", [None, 5, "x", [], {}], [{"span_id": "e" * 16}]])
def test_malformed_children_are_left_out(spans: Any) -> None:
    assert len(spans_of_transaction(transaction(spans=spans))) == 1


@pytest.mark.parametrize(
    "value", [{}, {"items": []}, {"items": [None, 5, {}, {"attributes": []}]}, {"items": "x"}, {"span_id": 5}]
)
def test_malformed_streamed_spans_are_left_out(value: dict[str, Any]) -> None:
    assert list(spans_of_item(value)) == []


def test_a_transaction_becomes_a_root_span_of_the_app() -> None:
    [span] = spans_of_transaction(transaction())
    assert isinstance(span, AppSpan)
    assert (span.trace_id, span.span_id, span.parent_span_id, span.is_root) == ("c" * 32, "d" * 16, "", True)
