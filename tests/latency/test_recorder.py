"""Durations are kept by minute, then by hour, in bounded memory, and counted once."""

from __future__ import annotations

import tracemalloc
from typing import Any

import pytest

from mita_otel.latency.limits import Rule
from mita_otel.latency.operations import Operation, OperationNames
from mita_otel.latency.recorder import LatencyRecorder
from mita_otel.latency.sketch import Sketch
from mita_otel.latency.window import add_up
from mita_otel.policy import default_policy

GET = Operation("api", "GET /a")
START = 1_800_000_000 - 1_800_000_000 % 3600


class Clock:
    def __init__(self, now_s: float = START) -> None:
        self.now_s = float(now_s)

    def __call__(self) -> float:
        return self.now_s


def recorder(clock: Clock, *, on_minute: Any = None, redact: Any = str, **summary: Any) -> LatencyRecorder:
    policy = default_policy()
    changed = policy.summary.replace(**summary)
    names = OperationNames(changed.max_operations, clock=clock, redact=redact)
    memory = LatencyRecorder(changed, policy.thresholds.adaptive, names, clock=clock)
    memory.on_minute = on_minute
    return memory


def record(to: LatencyRecorder, duration_ms: float, operation: Operation = GET, **more: Any) -> None:
    shown = to._names.shown(operation)
    to.record(shown, duration_ms, more.pop("trace_id", 1), **{"failed": False, "breached": False, **more})


def test_each_minute_is_a_separate_window() -> None:
    clock = Clock()
    memory = recorder(clock)
    record(memory, 10)
    record(memory, 30, failed=True, breached=True, rule=Rule("api.methods.GET", 20.0))
    clock.now_s += 60
    record(memory, 7)
    first, second = memory.windows(0)
    assert (first.start_s, first.length_s, second.start_s) == (START, 60, START + 60)
    assert (first.kind, first.operation, first.rule, first.limit_ms) == (
        "api",
        "GET /a",
        "api.methods.GET",
        20,
    )
    assert (first.count, first.errors, first.breaches, first.total_ms) == (2, 1, 1, 40)
    assert (first.min_ms, first.max_ms) == (10, 30)
    assert second.count == 1
    assert memory.windows(START + 60) == [second]


def test_the_slowest_spans_are_kept_with_their_trace_ids() -> None:
    memory = recorder(Clock(), slowest=2)
    for number, duration_ms in enumerate((5, 50, 1, 40, 45)):
        record(memory, duration_ms, trace_id=number)
    [window] = memory.windows(0)
    assert [(one.duration_ms, one.trace_id) for one in window.slowest] == [
        (50, f"{1:032x}"),
        (45, f"{4:032x}"),
    ]


def test_old_minutes_become_hours_and_old_hours_are_dropped() -> None:
    clock = Clock()
    memory = recorder(clock, hours=3)
    for _ in range(6 * 60):
        record(memory, 10)
        clock.now_s += 60
    windows = memory.windows(0)
    assert [one.length_s for one in windows if one.length_s > 60] == [3600] * 2
    assert sum(one.length_s == 60 for one in windows) <= 61
    assert sum(one.count for one in windows) == 3 * 60, "no minute is lost or doubled where both meet"


def test_operations_above_the_bound_share_one_entry_until_others_expire() -> None:
    clock = Clock()
    memory = recorder(clock, max_operations=3, hours=1)
    for number in range(10):
        record(memory, 1, Operation("financial", f"op{number}"))
    record(memory, 1, Operation("api", "GET /late"))
    names = {(one.kind, one.operation): one.count for one in memory.windows(0)}
    assert names == {
        ("financial", "op0"): 1,
        ("financial", "op1"): 1,
        ("financial", "op2"): 1,
        ("financial", "(other)"): 7,
        ("api", "(other)"): 1,
    }
    clock.now_s += 2 * 3600
    memory.windows(0)
    record(memory, 1, Operation("api", "GET /late"))
    assert [one.operation for one in memory.windows(clock.now_s)] == ["GET /late"]


def test_names_are_redacted_once_before_they_are_stored() -> None:
    asked: list[str] = []

    def redact(name: str) -> str:
        asked.append(name)
        return name.replace("4111111111111111", "[redacted]")

    memory = recorder(Clock(), redact=redact)
    for _ in range(5):
        record(memory, 1, Operation("financial", "pay 4111111111111111"))
    assert [one.operation for one in memory.windows(0)] == ["pay [redacted]"]
    assert asked == ["pay 4111111111111111"]


def test_clock_jumps_lose_no_count_and_stay_within_bounds() -> None:
    clock = Clock()
    memory = recorder(clock)
    for step in (0, -7200, 86_400 * 400, 60, -86_400 * 400, 60):
        clock.now_s += step
        record(memory, 1)
    assert sum(one.count for one in memory.windows(0)) == 6
    for _ in range(100):
        clock.now_s -= 3600
        record(memory, 1)
    assert len(memory.windows(0)) <= 61 + 25


def test_each_window_is_returned_to_the_store_once() -> None:
    clock = Clock()
    memory = recorder(clock, on_minute=lambda: None)
    record(memory, 1)
    assert memory.take_unwritten() == []
    clock.now_s += 60
    record(memory, 2)
    assert [one.total_ms for one in memory.take_unwritten()] == [1]
    assert memory.take_unwritten() == []
    assert [one.total_ms for one in memory.take_unwritten(everything=True)] == [2]
    record(memory, 3)
    assert [one.total_ms for one in memory.take_unwritten(everything=True)] == [3]
    assert [one.total_ms for one in memory.windows(START + 60)] == [5], "the minute is whole for ourselves"


def test_the_window_writer_is_notified_after_each_minute() -> None:
    clock, notified = Clock(), []
    memory = recorder(clock, on_minute=lambda: notified.append(clock.now_s))
    for step in (0, 30, 30, 1, 600):
        clock.now_s += step
        record(memory, 1)
    assert notified == [START + 60, START + 661]


def test_unwritten_windows_are_bounded() -> None:
    clock = Clock()
    memory = recorder(clock, on_minute=lambda: None, max_operations=2)
    for _ in range(500):
        record(memory, 1)
        clock.now_s += 60
    assert len(memory.take_unwritten()) == 120


def test_the_usual_duration_needs_enough_measurements_and_is_kept() -> None:
    clock = Clock()
    memory = recorder(clock)
    assert memory.percentile_ms(GET, 99) is None
    for number in range(99):
        record(memory, number)
    clock.now_s += 61
    assert memory.percentile_ms(GET, 50) is None
    record(memory, 99)
    clock.now_s += 61
    assert memory.percentile_ms(GET, 50) == pytest.approx(49, rel=0.01)
    for _ in range(1000):
        record(memory, 500)
    assert memory.percentile_ms(GET, 50) == pytest.approx(49, rel=0.01), "refreshed once a minute"
    clock.now_s += 61
    assert memory.percentile_ms(GET, 50) == pytest.approx(500, rel=0.01)
    clock.now_s += 3700
    assert memory.percentile_ms(GET, 50) is None, "of the last hour"


def test_reset_removes_all_windows() -> None:
    memory = recorder(Clock())
    record(memory, 1)
    memory.reset()
    assert memory.windows(0) == []


def test_merged_windows_of_workers_equal_those_of_one_process() -> None:
    one, workers = recorder(Clock()), [recorder(Clock()) for _ in range(3)]
    for number in range(300):
        duration_ms = 1.0 + (number * 37) % 251
        for memory in (one, workers[number % 3]):
            record(memory, duration_ms, trace_id=number, failed=number % 7 == 0, breached=number % 11 == 0)
    [whole] = one.windows(0)
    parts = [window for worker in workers for window in worker.windows(0)]
    total = add_up(parts, 0.01, 3)
    assert (total.count, total.errors, total.breaches, total.total_ms) == (
        whole.count,
        whole.errors,
        whole.breaches,
        whole.total_ms,
    )
    assert Sketch.unpack(total.sketch).pack() == Sketch.unpack(whole.sketch).pack()
    assert [slow.duration_ms for slow in total.slowest] == [slow.duration_ms for slow in whole.slowest]


def test_hours_of_a_busy_service_fit_within_the_memory_bound() -> None:
    clock = Clock()
    memory = recorder(clock, max_operations=20, hours=2)
    operations = [Operation("api", f"GET /a/{number}") for number in range(25)]
    tracemalloc.start()
    try:
        for minute in range(4 * 60):
            clock.now_s += 60
            for number, operation in enumerate(operations):
                record(memory, 1.0 + (number * minute) % 977, operation)
        used, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert len(memory.windows(0)) <= (61 + 3) * 21
    assert used < 2_000_000, f"{used / 1e6:.1f} MB"
