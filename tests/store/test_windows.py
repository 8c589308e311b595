"""Latency windows in the store: of all workers, each written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from leaks import shows
from mita_otel.latency.window import LatencyWindow, OpenWindow
from mita_otel.policy import default_policy
from mita_otel.redaction import Redactor
from mita_otel.store.database import Database
from mita_otel.store.windows import StoreWindows, windows_of

POLICY = default_policy()
DAY_S = 86_400
START_S = 1_800_000_000 - 1_800_000_000 % DAY_S


def window(
    start_s: int, durations: list[float], operation: str = "GET /x", kind: str = "api"
) -> LatencyWindow:
    opened = OpenWindow(start_s, 60, kind, operation, POLICY.summary.relative_error, 3)
    opened.rule, opened.limit_ms = "api.methods.GET", 500.0
    for number, duration in enumerate(durations):
        opened.add(duration, number + 1, start_s + 1.0, failed=duration > 900, breached=duration > 500)
    return opened.freeze()


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    database = Database(database_url, POLICY.store)
    yield database
    database.close()


def worker(database: Database, service: str = "shop") -> StoreWindows:
    return StoreWindows(
        database, Redactor(POLICY.redaction), service=service, environment="test", migrate=True
    )


def test_windows_of_all_workers_are_read_as_written(database: Database) -> None:
    first, second = window(START_S, [10, 600]), window(START_S, [20, 950])
    worker(database).write_windows([first])
    worker(database).write_windows([second])
    worker(database, "other").write_windows([window(START_S, [1])])
    assert worker(database).read_windows(START_S, START_S + 60) == [first, second]
    assert worker(database).read_windows(START_S + 1, START_S + 60) == []
    with database.read() as connection:
        assert len(list(windows_of(connection, 0, START_S + 60))) == 3


def test_an_operation_name_is_redacted(database: Database) -> None:
    worker(database).write_windows([window(START_S, [1], operation="pay 4111111111111111")])
    [found] = worker(database).read_windows(START_S, START_S + 60)
    assert not shows(found.operation)


def test_a_failed_batch_writes_nothing(database: Database) -> None:
    good = window(START_S, [1])
    bad = LatencyWindow(
        **{**{name: getattr(good, name) for name in LatencyWindow.__dataclass_fields__}, "kind": None}
    )  # type: ignore[arg-type]
    with pytest.raises(Exception, match=r"(?i)null"):
        worker(database).write_windows([good, bad])
    assert worker(database).read_windows(START_S, START_S + 60) == []
