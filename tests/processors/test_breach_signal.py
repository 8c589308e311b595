"""Listeners receive every breach on a separate thread; a slow or failing one does not affect the others."""

from __future__ import annotations

import threading

import pytest

from mita_otel.processors.breach_signal import BreachReport, BreachSignal
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import deadline_in

REPORT = BreachReport("api", "api.methods.GET", "GET /a", 500, 600, 1.0, "a" * 32, "b" * 16)


class Listening:
    def __init__(self) -> None:
        self.heard: list[BreachReport] = []
        self.threads: set[str] = set()

    def on_breach(self, report: BreachReport, /) -> None:
        self.threads.add(threading.current_thread().name)
        self.heard.append(report)


def test_every_listener_receives_every_report_on_a_separate_thread() -> None:
    signal, one, other = BreachSignal(Losses(cool_down_s=60)), Listening(), Listening()
    signal.send(REPORT)
    signal.subscribe(one)
    signal.send(REPORT)
    assert signal.flush(deadline_in(60_000))
    signal.subscribe(other)
    assert signal.flush(deadline_in(60_000))
    signal.send(REPORT)
    assert signal.flush(deadline_in(60_000))
    assert (len(one.heard), len(other.heard)) == (2, 1)
    assert one.threads == {"mita-otel-breaches"}
    signal.close()


def test_a_failing_listener_is_logged_once_and_the_others_are_still_notified(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Failing:
        def on_breach(self, report: BreachReport, /) -> None:
            raise RuntimeError("no")

    signal, one = BreachSignal(Losses(cool_down_s=60)), Listening()
    signal.subscribe(Failing())
    signal.subscribe(one)
    for _ in range(3):
        signal.send(REPORT)
    assert signal.flush(deadline_in(60_000))
    assert len(one.heard) == 3
    assert caplog.text.count("breach listener Failing failed") == 1
    signal.close()


def test_a_hanging_listener_delays_no_other_and_lost_reports_are_counted() -> None:
    release, entered = threading.Event(), threading.Event()

    class Hanging:
        def on_breach(self, report: BreachReport, /) -> None:
            entered.set()
            release.wait(60)

    losses = Losses(cool_down_s=60)
    signal = BreachSignal(losses)
    signal.subscribe(Hanging())
    signal.send(REPORT)
    assert entered.wait(60)
    for _ in range(1500):
        signal.send(REPORT)
    assert losses.counts()["breach_listeners", "queue_full"] >= 500
    assert signal.flush(deadline_in(10)) is False
    release.set()
    signal.close()


def test_without_a_listener_no_thread_runs() -> None:
    before = set(threading.enumerate())
    signal = BreachSignal(Losses(cool_down_s=60))
    signal.send(REPORT)
    assert signal.flush(deadline_in(0))
    assert set(threading.enumerate()) <= before
