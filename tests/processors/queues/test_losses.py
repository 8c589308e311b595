"""What is lost is counted, said at once, and said whole when the process ends."""

from __future__ import annotations

import pytest

from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses, signal_of


def test_one_line_at_once_and_the_rest_when_the_process_ends(caplog: pytest.LogCaptureFixture) -> None:
    losses = Losses(cool_down_s=60, clock=lambda: 0.0)
    for _ in range(5):
        losses.add("exporter.otlp", "export_failed", 3)
    losses.add("pipeline", "queue_full")
    losses.log_rest()
    losses.log_rest()
    assert [one.getMessage() for one in caplog.records] == [
        "telemetry lost at exporter.otlp: export_failed (3 so far)",
        "telemetry lost at pipeline: queue_full (1 so far)",
        "telemetry lost at exporter.otlp: export_failed (15 so far)",
    ]


def test_a_cool_down_later_the_next_line_counts_all(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    losses = Losses(cool_down_s=60, clock=lambda: now_s[0])
    for now_s[0] in (0.0, 59.0, 60.0):
        losses.add("sentry", "network_error")
    losses.log_rest()
    assert [one.args[-1] for one in caplog.records if isinstance(one.args, tuple)] == [1, 3]


def test_what_a_deadline_cut_off_is_counted_and_left_to_be_said_by_who_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    losses = Losses(cool_down_s=60)
    losses.add("exporter.otlp", DEADLINE_PASSED, 3)
    losses.add("logs.x", DEADLINE_PASSED, 4)
    losses.log_rest()
    assert losses.abandoned() == {"exporter.otlp": 3, "logs.x": 4}
    assert caplog.records == []


@pytest.mark.parametrize(
    ("stage", "signal"),
    [
        ("exporter.otlp", "span(s)"),
        ("pipeline", "span(s)"),
        ("sentry", "span(s)"),
        ("logs.otlp", "log record(s)"),
        ("sentry.logs", "log record(s)"),
        ("metrics", "collection(s) of metrics"),
    ],
)
def test_each_stage_loses_something(stage: str, signal: str) -> None:
    assert signal_of(stage) == signal
