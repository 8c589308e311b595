"""The span of time that a report is about, and how it is cut into steps for a plot."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from mita_otel.errors import ConfigurationError

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})\Z")
_QUARTER: Final = re.compile(r"(\d{4})-[Qq]([1-4])\Z")
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_NS: Final = 1_000_000_000
_FINE_DAYS: Final = 3
_DAILY_DAYS: Final = 100


@dataclass(frozen=True, slots=True)
class Period:
    """From `start` until before `end`, both UTC."""

    start: datetime
    end: datetime

    @property
    def start_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return int(self.start.timestamp()) * _NS

    @property
    def end_ns(self) -> int:
        """Nanoseconds since the epoch."""
        return int(self.end.timestamp()) * _NS

    @property
    def step(self) -> timedelta:
        """The length of one step of a plot: an hour, a day or a week."""
        days = (self.end - self.start) / _DAY
        if days <= _FINE_DAYS:
            return _HOUR
        return _DAY if days <= _DAILY_DAYS else 7 * _DAY

    def steps(self) -> Iterator[datetime]:
        """Yield the beginning of each step."""
        at = self.start
        while at < self.end:
            yield at
            at += self.step

    def step_of(self, seconds: float) -> int | None:
        """Return the number of the step that a moment (seconds since the epoch) lies in; None: in none."""
        since = seconds - self.start.timestamp()
        if since < 0 or seconds >= self.end.timestamp():
            return None
        return int(since // self.step.total_seconds())

    def before(self) -> Period:
        """Return the period of the same length that ends where this one starts."""
        return Period(self.start - (self.end - self.start), self.start)


def last_days(days: int, now: datetime) -> Period:
    """Return the last whole days, and today so far.

    Raises:
        ConfigurationError: There are less than one, or more than can be.
    """
    if not 1 <= days <= 36_500:
        raise ConfigurationError(f"--days {days}: choose between 1 and 36500")
    end = _next_hour(now)
    return Period(end - timedelta(days=days), end)


def day_of(text: str | None, now: datetime) -> Period:
    """Return a day, as in `2026-11-24`; None: yesterday.

    Raises:
        ConfigurationError: The text is no day.
    """
    if text is None:
        return Period(_midnight(now) - _DAY, _midnight(now))
    try:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a day; write it as in 2026-11-24") from error
    return Period(start, start + _DAY)


def week_before(now: datetime) -> Period:
    """Return the last whole week, Monday to Sunday."""
    monday = _midnight(now) - timedelta(days=now.weekday())
    return Period(monday - 7 * _DAY, monday)


def month_of(text: str | None, now: datetime) -> Period:
    """Return a month, as in `2026-11`; None: the last whole one.

    Raises:
        ConfigurationError: The text is no month.
    """
    if text is None:
        last = _midnight(now).replace(day=1) - _DAY
        text = f"{last.year:04d}-{last.month:02d}"
    found = _MONTH.match(text)
    if found is None or not 1 <= int(found.group(2)) <= 12 or int(found.group(1)) < 1970:
        raise ConfigurationError(f"{text!r} is not a month; write it as in 2026-11")
    year, month = int(found.group(1)), int(found.group(2))
    start = datetime(year, month, 1, tzinfo=UTC)
    return Period(start, start + timedelta(days=monthrange(year, month)[1]))


def quarter_of(text: str | None, now: datetime) -> Period:
    """Return a quarter, as in `2026-Q4`; None: the last whole one.

    Raises:
        ConfigurationError: The text is no quarter.
    """
    if text is None:
        first_month = 3 * ((now.month - 1) // 3) + 1
        last = _midnight(now).replace(day=1, month=first_month) - _DAY
        text = f"{last.year}-Q{(last.month - 1) // 3 + 1}"
    found = _QUARTER.match(text)
    if found is None or int(found.group(1)) < 1970:
        raise ConfigurationError(f"{text!r} is not a quarter; write it as in 2026-Q4")
    year, quarter = int(found.group(1)), int(found.group(2))
    start = month_of(f"{year}-{3 * quarter - 2:02d}", now).start
    return Period(start, month_of(f"{year}-{3 * quarter:02d}", now).end)


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _next_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR
