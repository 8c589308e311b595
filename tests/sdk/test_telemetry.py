"""What the handle says when the process ends before everything was sent."""

from __future__ import annotations

from typing import Any

import pytest

from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import CUT_OFF, Losses
from mita_otel.redaction import Redactor
from mita_otel.sdk.telemetry import Telemetry


class Waits:
    """Something that has not sent everything, or has."""

    def __init__(self, flushes: bool) -> None:
        self.flushes = flushes

    def force_flush(self, timeout_millis: int = 0, /) -> bool:
        return self.flushes

    def shutdown(self) -> None:
        pass


def telemetry(flushes: bool, **more: Any) -> Telemetry:
    policy = default_policy()
    return Telemetry(
        policy=policy,
        environment="production",
        redactor=Redactor(policy.redaction),
        exporters={},
        **{"losses": None, "flushables": [Waits(flushes)], **more},
    )


def test_each_part_rounds_down_what_is_left_and_time_has_run_out_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.0, 4.997])
    monkeypatch.setattr("mita_otel.sdk.telemetry.monotonic", lambda: next(times))
    assert telemetry(False).finish(5) is False
    assert "in time" in caplog.text


@pytest.mark.parametrize(
    ("flushes", "timeout_s", "lines"),
    [(False, 1e-9, 1), (False, 600, 0), (False, 0, 0), (True, 1e-9, 0)],
    ids=["too late", "refused in time", "nobody waits", "all sent"],
)
def test_time_that_ran_out_is_said_once(
    caplog: pytest.LogCaptureFixture, flushes: bool, timeout_s: float, lines: int
) -> None:
    handle = telemetry(flushes)
    assert [handle.finish(timeout_s), handle.shutdown(timeout_s)] == [flushes, flushes]
    assert len([one for one in caplog.records if "in time" in one.getMessage()]) == lines


class Clock:
    """Seconds that pass when something is waited for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        monkeypatch.setattr("mita_otel.sdk.telemetry.monotonic", lambda: self.now_s)


class Part:
    """Takes so many seconds to flush, and holds something until then."""

    def __init__(self, clock: Clock, story: list[str], losses: Losses, name: str, needs_s: float) -> None:
        self._clock, self._story, self._losses, self._name = clock, story, losses, name
        self._needs_s = needs_s

    def hurry(self, timeout_millis: int, /) -> None:
        self._story.append(f"{self._name} hurries for {timeout_millis} ms")

    def force_flush(self, timeout_millis: int = 0, /) -> bool:
        self._story.append(f"{self._name} is given {timeout_millis} ms")
        self._clock.now_s += min(self._needs_s, timeout_millis / 1000)
        return self._needs_s <= timeout_millis / 1000

    def cut_off(self) -> None:
        self._story.append(f"{self._name} is cut off")
        self._losses.add(f"logs.{self._name}", CUT_OFF, 7)

    def shutdown(self) -> None:
        pass


@pytest.mark.parametrize(
    ("logs_need_s", "metrics_need_s", "story", "said"),
    [
        (
            1,
            0.25,
            [
                "logs hurries for 4000 ms",
                "logs is given 4000 ms",
                "metrics hurries for 4000 ms",
                "metrics is given 4000 ms",
            ],
            "",
        ),
        (
            60,
            0.25,
            [
                "logs hurries for 4000 ms",
                "logs is given 4000 ms",
                "logs is cut off",
                "metrics hurries for 1000 ms",
                "metrics is given 1000 ms",
            ],
            "ends: 7 log record(s) at logs.logs",
        ),
        (
            60,
            60,
            [
                "logs hurries for 4000 ms",
                "logs is given 4000 ms",
                "logs is cut off",
                "metrics hurries for 1000 ms",
                "metrics is given 1000 ms",
                "metrics is cut off",
            ],
            "ends: 7 log record(s) at logs.logs, 7 log record(s) at logs.metrics",
        ),
    ],
    ids=["all in time", "metrics are in time", "nothing is in time"],
)
def test_metrics_are_sent_last_and_tell_what_the_deadline_has_cut_off(
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    logs_need_s: float,
    metrics_need_s: float,
    story: list[str],
    said: str,
) -> None:
    clock, told, losses = Clock(monkeypatch), [], Losses(cool_down_s=60)
    logs = Part(clock, told, losses, "logs", logs_need_s)
    metrics = Part(clock, told, losses, "metrics", metrics_need_s)
    handle = telemetry(True, losses=losses, flushables=[logs], metrics=[metrics])
    assert handle.finish(5) is not bool(said)
    assert told == story
    assert said in caplog.text
    assert bool(caplog.text) is bool(said)
    assert clock.now_s <= 5
