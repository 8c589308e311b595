"""Losses are counted, logged at once, and logged completely when the process ends."""

from __future__ import annotations

import pytest

from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses, signal_of


def test_the_first_loss_is_logged_at_once_and_the_total_when_the_process_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    losses = Losses(cool_down_s=60, clock=lambda: 0.0)
    for _ in range(5):
        losses.add("exporter.otlp", "export_failed", 3)
    losses.add("pipeline", "queue_full")
    losses.log_rest()
    losses.log_rest()
    assert [one.getMessage() for one in caplog.records] == [
        "telemetry lost at exporter.otlp: 3 span(s) so far (export_failed), not delivered to exporter otlp: "
        "the exporter reported a failure; read its log lines, and run `mita-otel doctor`",
        "telemetry lost at pipeline: 1 span(s) so far (queue_full), not delivered to the exporters: "
        "the queue is full; raise export.queue.max_spans of the policy",
        "telemetry lost at exporter.otlp: 15 span(s) so far (export_failed), for the same cause",
    ]


def test_after_the_cool_down_the_next_line_has_the_total(caplog: pytest.LogCaptureFixture) -> None:
    now_s = [0.0]
    losses = Losses(cool_down_s=60, clock=lambda: now_s[0])
    for now_s[0] in (0.0, 59.0, 60.0):
        losses.add("sentry", "network_error")
    losses.log_rest()
    assert [one.args[1] for one in caplog.records if isinstance(one.args, tuple)] == [1, 3]


def test_losses_at_the_deadline_are_counted_but_not_logged(
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
def test_the_stage_determines_the_name_of_the_lost_items(stage: str, signal: str) -> None:
    assert signal_of(stage) == signal
