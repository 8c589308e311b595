"""Latency windows are rolled up into whole hours and days, and keep their percentiles."""

from __future__ import annotations

import random
from collections.abc import Iterator

import pytest

from mita_otel.audit.retention.rollup import RollUp
from mita_otel.latency.sketch import Sketch
from mita_otel.latency.window import LatencyWindow, OpenWindow, add_up
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.store.database import Database
from mita_otel.store.windows import StoreWindows

POLICY = default_policy()
HOUR_S = 3600
DAY_S = 86_400
START_S = 1_800_000_000 - 1_800_000_000 % DAY_S


def window(start_s: int, durations: list[float], operation: str = "GET /x") -> LatencyWindow:
    opened = OpenWindow(start_s, 60, "api", operation, POLICY.summary.relative_error, 3)
    opened.rule, opened.limit_ms = "api.methods.GET", 500.0
    for number, duration in enumerate(durations):
        opened.add(duration, number + 1, start_s + 1.0, failed=duration > 900, breached=duration > 500)
    return opened.freeze()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, POLICY.store)
    yield database
    database.close()


def worker(database: Database) -> StoreWindows:
    return StoreWindows(
        database, Redactor(POLICY.redaction), service="shop", environment="test", migrate=True
    )


def spans(database: Database) -> list[tuple[int, int, int]]:
    """Return start, length and count of each window in the store."""
    windows = worker(database).read_windows(0, 2**40)
    return [(one.start_s - START_S, one.length_s, one.count) for one in windows]


def test_minutes_on_both_sides_of_a_full_hour_become_two_hours(database: Database) -> None:
    minutes = [HOUR_S - 120, HOUR_S - 60, HOUR_S, HOUR_S + 60]
    worker(database).write_windows([window(START_S + second, [1]) for second in minutes])
    RollUp(database, POLICY.summary).roll_up(START_S + 10 * DAY_S, minutes_after_days=7, hours_after_days=60)
    assert spans(database) == [(0, HOUR_S, 2), (HOUR_S, HOUR_S, 2)]


def test_hours_on_both_sides_of_midnight_become_two_days(database: Database) -> None:
    minutes = [DAY_S - 2 * HOUR_S, DAY_S - HOUR_S, DAY_S, DAY_S + HOUR_S]
    worker(database).write_windows([window(START_S + second, [1]) for second in minutes])
    RollUp(database, POLICY.summary).roll_up(START_S + 90 * DAY_S, minutes_after_days=7, hours_after_days=60)
    assert spans(database) == [(0, DAY_S, 2), (DAY_S, DAY_S, 2)]


@pytest.mark.parametrize("late_s", [60, HOUR_S // 2, HOUR_S - 1])
def test_an_hour_that_is_partly_too_young_is_not_rolled_up(database: Database, late_s: int) -> None:
    """The younger minutes would need a second window of the same hour."""
    minutes = [0, HOUR_S // 2, HOUR_S - 60]
    worker(database).write_windows([window(START_S + second, [1]) for second in minutes])
    roll_up = RollUp(database, POLICY.summary)
    fewer = roll_up.roll_up(START_S + 7 * DAY_S + late_s, minutes_after_days=7, hours_after_days=60)
    assert (fewer, spans(database)) == (0, [(second, 60, 1) for second in minutes])
    fewer = roll_up.roll_up(START_S + 7 * DAY_S + HOUR_S, minutes_after_days=7, hours_after_days=60)
    assert (fewer, spans(database)) == (2, [(0, HOUR_S, 3)])


def test_rolled_up_windows_are_the_sum_of_their_parts(database: Database) -> None:
    chance = random.Random(7)
    durations = [chance.lognormvariate(5, 1) for _ in range(4000)]
    parts = [
        window(
            START_S + minute * 60, durations[minute * 20 : minute * 20 + 20], operation=f"GET /{minute % 2}"
        )
        for minute in range(200)
    ]
    for part in range(0, 200, 10):
        worker(database).write_windows(parts[part : part + 10])
    roll_up = RollUp(database, POLICY.summary)
    now_s = START_S + 10 * DAY_S
    assert roll_up.roll_up(now_s, minutes_after_days=7, hours_after_days=60) == 200 - 2 * 4
    hours = worker(database).read_windows(START_S, START_S + DAY_S)
    assert {one.length_s for one in hours} == {3600}
    assert roll_up.roll_up(now_s, minutes_after_days=7, hours_after_days=60) == 0
    assert roll_up.roll_up(now_s, minutes_after_days=7, hours_after_days=8) == 8 - 2
    days = worker(database).read_windows(START_S, START_S + DAY_S)
    assert sorted(one.operation for one in days) == ["GET /0", "GET /1"]
    for day in days:
        whole = add_up(
            [one for one in parts if one.operation == day.operation], POLICY.summary.relative_error, 10
        )
        assert (day.count, day.errors, day.breaches) == (whole.count, whole.errors, whole.breaches)
        assert (day.min_ms, day.max_ms) == (whole.min_ms, whole.max_ms)
        assert day.total_ms == pytest.approx(whole.total_ms)
        assert Sketch.unpack(day.sketch).percentile(99) == Sketch.unpack(whole.sketch).percentile(99)
        assert day.slowest[0].duration_ms == whole.max_ms


def test_young_windows_are_not_rolled_up(database: Database) -> None:
    worker(database).write_windows([window(START_S, [1])])
    assert (
        RollUp(database, POLICY.summary).roll_up(START_S + DAY_S, minutes_after_days=7, hours_after_days=60)
        == 0
    )
    assert worker(database).read_windows(START_S, START_S + 60)[0].length_s == 60


def test_an_unreadable_sketch_loses_its_percentiles_only(database: Database) -> None:
    worker(database).write_windows([window(START_S, [1]), window(START_S, [2])])
    with database.write() as connection:
        nonsense = "x'00'" if database.is_sqlite else "'\\x00'"
        connection.exec_driver_sql(f"UPDATE mita_latency_windows SET sketch = {nonsense} WHERE id = 1")
    assert (
        RollUp(database, POLICY.summary).roll_up(
            START_S + 10 * DAY_S, minutes_after_days=7, hours_after_days=60
        )
        == 1
    )
    [found] = worker(database).read_windows(START_S, START_S + 60)
    assert found.count == 2
