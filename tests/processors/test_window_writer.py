"""Windows are stored once, on a separate thread; they are held while the store fails."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from mita_otel.latency.operations import Operation, OperationNames
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.latency.window import LatencyWindow
from mita_otel.policy import default_policy
from mita_otel.processors.queues.losses import Losses
from mita_otel.processors.queues.stage import deadline_in
from mita_otel.processors.window_writer import WindowWriter

POLICY = default_policy()
START = 1_800_000_000
GET = Operation("api", "GET /a")


class Store:
    """A store in memory that can be set to fail."""

    def __init__(self) -> None:
        self.windows: list[LatencyWindow] = []
        self.fails = False

    def write_windows(self, windows: Iterable[LatencyWindow], /) -> None:
        if self.fails:
            raise OSError("the database is down")
        self.windows.extend(windows)

    def read_windows(self, start_s: float, end_s: float, /) -> Iterable[LatencyWindow]:
        return [one for one in self.windows if start_s <= one.start_s < end_s]


class Bench:
    def __init__(self) -> None:
        self.now_s = float(START)
        clock = lambda: self.now_s  # noqa: E731
        names = OperationNames(100, clock=clock)
        self.recorder = LatencyRecorder(POLICY.summary, POLICY.thresholds.adaptive, names, clock=clock)
        self.writer = WindowWriter(self.recorder, Losses(cool_down_s=60))
        self.store = Store()

    def minute(self, duration_ms: float = 1.0) -> None:
        self.recorder.record(GET, duration_ms, 1, failed=False, breached=False)
        self.now_s += 60


def test_without_a_store_no_windows_are_held() -> None:
    bench = Bench()
    bench.minute()
    assert bench.writer.flush(deadline_in(0))
    assert bench.recorder.take_unwritten() == []
    bench.writer.close()


def test_each_minute_is_written_once_automatically() -> None:
    bench = Bench()
    bench.writer.attach(bench.store)
    for _ in range(4):
        bench.minute()
    assert bench.writer.flush(deadline_in(60_000))
    assert [one.start_s for one in bench.store.windows] == [START + 60 * n for n in range(4)]
    assert bench.writer.pending() == []
    bench.writer.close()


def test_the_current_minute_is_written_when_the_process_ends() -> None:
    bench = Bench()
    bench.writer.attach(bench.store)
    bench.recorder.record(GET, 5.0, 1, failed=False, breached=False)
    assert bench.writer.flush(deadline_in(60_000))
    assert bench.store.windows == []
    assert [one.total_ms for one in bench.writer.pending()] == [5.0]
    bench.writer.drain()
    assert bench.writer.flush(deadline_in(60_000))
    assert [one.total_ms for one in bench.store.windows] == [5.0]
    bench.writer.close()


def test_while_the_store_fails_windows_are_held_and_one_line_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    bench = Bench()
    bench.writer.attach(bench.store)
    bench.store.fails = True
    for _ in range(3):
        bench.minute()
        assert bench.writer.flush(deadline_in(5000)) is False
    assert caplog.text.count("latency windows could not be stored (OSError)") == 1
    assert len(bench.writer.pending()) == 3
    bench.store.fails = False
    assert bench.writer.flush(deadline_in(60_000))
    assert len(bench.store.windows) == 3 and bench.writer.pending() == []
    bench.writer.close()
