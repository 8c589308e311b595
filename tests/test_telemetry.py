"""What the handle says when the process ends before everything was sent."""

from __future__ import annotations

import pytest

from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.telemetry import Telemetry


class Waits:
    """Something that has not sent everything, or has."""

    def __init__(self, flushes: bool) -> None:
        self.flushes = flushes

    def force_flush(self, timeout_millis: int = 0, /) -> bool:
        return self.flushes

    def shutdown(self) -> None:
        pass


def telemetry(flushes: bool) -> Telemetry:
    policy = default_policy()
    return Telemetry(
        policy=policy,
        environment="production",
        redactor=Redactor(policy.redaction),
        exporters={},
        losses=None,
        flushables=[Waits(flushes)],
    )


def test_each_part_rounds_down_what_is_left_and_time_has_run_out_all_the_same(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    times = iter([0.0, 0.0, 0.0, 4.997])
    monkeypatch.setattr("mita_otel.telemetry.monotonic", lambda: next(times))
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
