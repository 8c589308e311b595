"""All stages are flushed within one deadline; late ones are counted and logged."""

from __future__ import annotations

import pytest

from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import DEADLINE_PASSED, Losses
from mita_otel.processors.queues.stage import Stage, milliseconds_left
from mita_otel.sdk.stages import Stages

POLICY = default_policy("production").lifecycle


class Waits(Stage):
    """A stage whose flush succeeds or fails."""

    def __init__(self, flushes: bool) -> None:
        self.flushes = flushes

    def flush(self, deadline_s: float) -> bool:
        return self.flushes


def stages(*of: Stage, losses: Losses | None = None) -> Stages:
    return Stages(of, losses or Losses(cool_down_s=60), POLICY)


def test_a_flush_that_ends_just_before_its_deadline_counts_as_late(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 4.997])
    monkeypatch.setattr("mita_otel.sdk.stages.monotonic", lambda: next(times))
    assert stages(Waits(False)).drain(5) is False
    assert "in time" in caplog.text


@pytest.mark.parametrize(
    ("flushes", "timeout_s", "lines"),
    [(False, 1e-9, 1), (False, 600, 0), (False, 0, 0), (True, 1e-9, 0)],
    ids=["too late", "refused in time", "no time was given", "all sent"],
)
def test_a_missed_deadline_is_logged_once(
    caplog: pytest.LogCaptureFixture, flushes: bool, timeout_s: float, lines: int
) -> None:
    handle = stages(Waits(flushes))
    assert [handle.drain(timeout_s), handle.drain(timeout_s)] == [flushes, flushes]
    assert len([one for one in caplog.records if "in time" in one.getMessage()]) == lines


class Clock:
    """A clock that a flushing stage advances."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        for module in ("sdk.stages", "processors.queues.stage"):
            monkeypatch.setattr(f"mita_otel.{module}.monotonic", lambda: self.now_s)


class Part(Stage):
    """A stage that needs some seconds to flush its seven items."""

    def __init__(self, clock: Clock, story: list[str], losses: Losses, name: str, needs_s: float) -> None:
        self._clock, self._story, self._losses, self._name = clock, story, losses, name
        self._needs_s = needs_s

    def flush_async(self, deadline_s: float) -> None:
        self._story.append(f"{self._name} begins to flush for {milliseconds_left(deadline_s)} ms")

    def flush(self, deadline_s: float) -> bool:
        left_ms = milliseconds_left(deadline_s)
        self._story.append(f"{self._name} is given {left_ms} ms")
        self._clock.now_s += min(self._needs_s, left_ms / 1000)
        return self._needs_s <= left_ms / 1000

    def drain(self) -> None:
        self._story.append(f"{self._name} drains")

    def abandon(self) -> None:
        self._story.append(f"{self._name} is abandoned")
        self._losses.add(f"logs.{self._name}", DEADLINE_PASSED, 7)

    def close(self) -> None:
        self._story.append(f"{self._name} closes")


class Metrics(Part):
    counts_losses = True


@pytest.mark.parametrize(
    ("logs_need_s", "metrics_need_s", "story", "logged"),
    [
        (
            1,
            0.25,
            [
                "logs begins to flush for 4000 ms",
                "logs is given 4000 ms",
                "metrics begins to flush for 4000 ms",
                "metrics is given 4000 ms",
            ],
            "",
        ),
        (
            60,
            0.25,
            [
                "logs begins to flush for 4000 ms",
                "logs is given 4000 ms",
                "logs is abandoned",
                "metrics begins to flush for 1000 ms",
                "metrics is given 1000 ms",
            ],
            "ends: 7 log record(s) at logs.logs",
        ),
        (
            60,
            60,
            [
                "logs begins to flush for 4000 ms",
                "logs is given 4000 ms",
                "logs is abandoned",
                "metrics begins to flush for 1000 ms",
                "metrics is given 1000 ms",
                "metrics is abandoned",
            ],
            "ends: 7 log record(s) at logs.logs, 7 log record(s) at logs.metrics",
        ),
    ],
    ids=["all in time", "metrics in time", "nothing in time"],
)
def test_metrics_are_flushed_last_and_include_the_losses_of_the_deadline(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    logs_need_s: float,
    metrics_need_s: float,
    story: list[str],
    logged: str,
) -> None:
    clock, losses = Clock(monkeypatch), Losses(cool_down_s=60)
    calls: list[str] = []
    logs = Part(clock, calls, losses, "logs", logs_need_s)
    metrics = Metrics(clock, calls, losses, "metrics", metrics_need_s)
    handle = stages(metrics, logs, losses=losses)
    assert handle.drain(5) is not bool(logged)
    assert calls == ["metrics drains", "logs drains", *story]
    assert logged in caplog.text
    assert bool(caplog.text) is bool(logged)
    assert clock.now_s <= 5


def test_a_stage_added_later_is_drained_and_closed_before_metrics(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock, losses = Clock(monkeypatch), Losses(cool_down_s=60)
    calls: list[str] = []
    handle = stages(Metrics(clock, calls, losses, "metrics", 0), losses=losses)
    handle.keep(Part(clock, calls, losses, "kept", 60))
    handle.drain(5)
    handle.close()
    assert calls[:2] == ["metrics drains", "kept drains"]
    assert calls[4:5] == ["kept is abandoned"]
    assert calls[-2:] == ["kept closes", "metrics closes"]
    assert losses.abandoned() == {"logs.kept": 7}


def test_a_stage_that_raises_does_not_affect_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(Stage):
        def _fail(self, *_: object) -> bool:
            raise RuntimeError("broken")

        start = flush = flush_async = drain = abandon = close = _fail  # type: ignore[assignment]

    clock, losses = Clock(monkeypatch), Losses(cool_down_s=60)
    calls: list[str] = []
    handle = stages(Broken(), Part(clock, calls, losses, "logs", 60), losses=losses)
    handle.start()
    assert handle.flush(1) is False
    assert handle.drain(1) is False
    handle.close()
    assert {"logs drains", "logs is abandoned", "logs closes"} <= set(calls)
