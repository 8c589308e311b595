"""Items lost before the transport are in Sentry's client reports as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.receiver import Receiver
from mita_otel.sentry.transport.loss_reports import LossReports
from sentry.wire import WireLink


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    backend = Receiver()
    yield backend
    backend.close()


def reported(link: WireLink, receiver: Receiver) -> dict[tuple[str, str], int]:
    link.transport.ending = True
    link.transport.flush(60)
    return {
        (one["reason"], one["category"]): one["quantity"]
        for item in receiver.client_reports
        for one in item["discarded_events"]
    }


def test_losses_are_reported_with_sentrys_reasons(receiver: Receiver) -> None:
    link = WireLink(receiver)
    LossReports(link.losses, link.own_transport)
    link.losses.add("pipeline", "queue_full", 3)
    link.losses.add("exporter.sentry", "queue_full", 4)
    link.losses.add("exporter.otlp", "queue_full", 5)
    link.losses.add("sentry", "too_many_spans", 6)
    link.losses.add("sentry", "not_encodable", 7)
    link.losses.add("sentry", "network_error", 8)
    link.losses.add("sentry.other", "queue_overflow", 9)
    assert reported(link, receiver) == {
        ("queue_overflow", "span"): 7,
        ("buffer_overflow", "span"): 6,
        ("internal_sdk_error", "span"): 7,
    }


def test_unsampled_items_are_reported_once(receiver: Receiver) -> None:
    link = WireLink(receiver)
    reports = LossReports(link.losses, link.own_transport)
    reports.report_sampling()
    so_far = [(2, 9), (2, 9), (5, 20), (1, 3)]
    reports.watch_sampling(lambda: so_far.pop(0))
    for _ in range(4):
        reports.report_sampling()
    assert reported(link, receiver) == {
        ("sample_rate", "transaction"): 5,
        ("sample_rate", "span"): 20,
    }
