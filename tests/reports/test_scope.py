"""Periods are whole days, weeks, months and quarters in UTC, divided into steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from mita_otel.errors import ConfigurationError
from mita_otel.reports.scope import Period, day_of, last_days, month_of, quarter_of, week_before

NOW = datetime(2026, 11, 25, 9, 30, tzinfo=UTC)


def bounds(period: Period) -> tuple[str, str]:
    return f"{period.start:%Y-%m-%dT%H:%M}", f"{period.end:%Y-%m-%dT%H:%M}"


@pytest.mark.parametrize(
    ("period", "expected"),
    [
        (last_days(7, NOW), ("2026-11-18T10:00", "2026-11-25T10:00")),
        (day_of(None, NOW), ("2026-11-24T00:00", "2026-11-25T00:00")),
        (day_of("2024-02-29", NOW), ("2024-02-29T00:00", "2024-03-01T00:00")),
        (week_before(NOW), ("2026-11-16T00:00", "2026-11-23T00:00")),
        (month_of(None, NOW), ("2026-10-01T00:00", "2026-11-01T00:00")),
        (month_of("2024-02", NOW), ("2024-02-01T00:00", "2024-03-01T00:00")),
        (month_of(None, NOW.replace(month=1)), ("2025-12-01T00:00", "2026-01-01T00:00")),
        (quarter_of(None, NOW), ("2026-07-01T00:00", "2026-10-01T00:00")),
        (quarter_of("2026-q4", NOW), ("2026-10-01T00:00", "2027-01-01T00:00")),
        (quarter_of(None, NOW.replace(month=2)), ("2025-10-01T00:00", "2026-01-01T00:00")),
        (month_of("2026-11", NOW).before(), ("2026-10-02T00:00", "2026-11-01T00:00")),
    ],
)
def test_a_period_is_whole(period: Period, expected: tuple[str, str]) -> None:
    assert bounds(period) == expected


@pytest.mark.parametrize(
    "text", ["2026", "2026-13", "2026-00", "11-2026", "november", "2026-1", "0000-01", ""]
)
def test_an_invalid_month_is_rejected_with_an_example(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"is not a month; write it like 2026-11"):
        month_of(text, NOW)


@pytest.mark.parametrize(
    ("make", "text"), [(day_of, "2026-02-30"), (day_of, "x"), (quarter_of, "2026-Q5"), (quarter_of, "Q1")]
)
def test_an_invalid_day_or_quarter_is_rejected(make: object, text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"write it like 2026"):
        make(text, NOW)  # type: ignore[operator]


@pytest.mark.parametrize("days", [0, -1, 10**6])
def test_days_are_bounded(days: int) -> None:
    with pytest.raises(ConfigurationError, match=r"--days"):
        last_days(days, NOW)


@pytest.mark.parametrize(
    ("days", "step", "count"), [(1, 1, 24), (3, 1, 72), (7, 24, 7), (92, 24, 92), (365, 168, 53)]
)
def test_steps_are_hours_days_or_weeks(days: int, step: int, count: int) -> None:
    period = Period(NOW, NOW + timedelta(days=days))
    assert period.step == timedelta(hours=step)
    starts = list(period.steps())
    assert len(starts) == count
    for number, start in enumerate(starts):
        assert period.step_of(start.timestamp()) == number
    assert period.step_of(NOW.timestamp() - 1) is None
    assert period.step_of(period.end.timestamp()) is None
