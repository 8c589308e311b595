"""Client reports: quantities by item type, intervals, and lost reports."""

from __future__ import annotations

import json
import os
from typing import Any

import pytest
from sentry_sdk.envelope import Item

from mita_otel.sentry.transport.client_reports import ClientReports
from mita_otel.sentry.transport.envelope_items import SpansItem, category_of, quantities_of


def discarded(item: Item | None) -> dict[tuple[str, str], int]:
    assert item is not None
    report = json.loads(item.get_bytes())
    assert report["timestamp"] > 0
    return {(one["reason"], one["category"]): one["quantity"] for one in report["discarded_events"]}


@pytest.mark.parametrize(
    ("item", "quantities"),
    [
        (Item(b"{}", type="event"), {"error": 1}),
        (Item(b"{}", type="sessions"), {"session": 1}),
        (Item(b"{}", type="check_in"), {"monitor": 1}),
        (Item(b"{}", type="new_kind"), {"default": 1}),
        (Item(b"{}"), {"default": 1}),
        (Item(b"12345", type="attachment"), {"attachment": 5}),
        (Item(b"", type="attachment"), {"attachment": 1}),
        (Item(b"12345", {"item_count": 3}, type="log"), {"log_item": 3, "log_byte": 5}),
        (Item(b"12345", {"item_count": 0}, type="log"), {"log_item": 1, "log_byte": 5}),
        (Item(b"1234", {"item_count": 2}, type="trace_metric"), {"trace_metric": 2, "trace_metric_byte": 4}),
        (SpansItem(b"{}", type="transaction", spans=4), {"transaction": 1, "span": 4}),
        (SpansItem(b"{}", type="span", spans=4), {"span": 4}),
    ],
)  # fmt: skip
def test_an_item_is_counted_in_its_categories(item: Item, quantities: dict[str, int]) -> None:
    assert dict(quantities_of(item)) == quantities
    assert category_of(item) == next(iter(quantities))


def test_a_report_contains_the_counts_since_the_last_one() -> None:
    reports = ClientReports()
    assert reports.take() is None
    reports.add("sample_rate", "span", 3)
    reports.add("sample_rate", "span", 2)
    reports.add("sample_rate", "error", 0)
    reports.add_item("network_error", SpansItem(b"{}", type="transaction", spans=4))
    assert discarded(reports.take()) == {
        ("sample_rate", "span"): 5,
        ("network_error", "transaction"): 1,
        ("network_error", "span"): 4,
    }
    assert reports.take() is None


def test_a_report_waits_for_its_interval() -> None:
    now = [1000.0]
    reports = ClientReports(clock=lambda: now[0])
    reports.add("sample_rate", "span")
    assert reports.take(30) is None
    now[0] += 30
    assert discarded(reports.take(30)) == {("sample_rate", "span"): 1}
    reports.add("sample_rate", "span")
    assert reports.take(30) is None


def test_a_lost_report_is_added_to_the_next_and_not_counted_as_an_item() -> None:
    reports = ClientReports()
    reports.add("sample_rate", "span", 3)
    lost = reports.take()
    assert lost is not None
    reports.add_item("network_error", lost)
    reports.restore(lost)
    reports.restore(Item(b"{}", type="event"))
    reports.add("sample_rate", "span", 1)
    assert discarded(reports.take()) == {("sample_rate", "span"): 4}


def test_disabled_reports_count_nothing() -> None:
    reports = ClientReports(enabled=False)
    reports.add("sample_rate", "span", 3)
    assert reports.take() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_does_not_report_what_its_parent_counted() -> None:
    reports: Any = ClientReports()
    reports.add("sample_rate", "span", 3)
    pid = os.fork()
    if pid == 0:
        os._exit(0 if reports.take() is None else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert reports.take() is not None
