"""What a report covers: a period, optionally one service, environment or person; and the minutes with measurements."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING, Any, Final

from mita_otel.errors import ConfigurationError
from mita_otel.reports.model import Gap, MeasurementCoverage

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table

_MONTH: Final = re.compile(r"(\d{4})-(\d{2})\Z")
_QUARTER: Final = re.compile(r"(\d{4})-[Qq]([1-4])\Z")
_HOUR: Final = timedelta(hours=1)
_DAY: Final = timedelta(days=1)
_MINUTE_S: Final = 60
_NS: Final = 1_000_000_000
_FINE_DAYS: Final = 3
_DAILY_DAYS: Final = 100


@dataclass(frozen=True, slots=True)
class Period:
    """A period from `start` (inclusive) to `end` (exclusive), UTC."""

    start: datetime
    end: datetime

    @property
    def start_ns(self) -> int:
        """Start in nanoseconds since the epoch."""
        return int(self.start.timestamp()) * _NS

    @property
    def end_ns(self) -> int:
        """End in nanoseconds since the epoch."""
        return int(self.end.timestamp()) * _NS

    @property
    def step(self) -> timedelta:
        """Length of a step of a plot: an hour, a day or a week."""
        days = (self.end - self.start) / _DAY
        if days <= _FINE_DAYS:
            return _HOUR
        return _DAY if days <= _DAILY_DAYS else 7 * _DAY

    def steps(self) -> Iterator[datetime]:
        """Yield the start of each step."""
        at = self.start
        while at < self.end:
            yield at
            at += self.step

    def step_of(self, seconds: float) -> int | None:
        """Return the number of the step that contains a time (seconds since the epoch); None if there is none."""
        since = seconds - self.start.timestamp()
        if since < 0 or seconds >= self.end.timestamp():
            return None
        return int(since // self.step.total_seconds())

    def before(self) -> Period:
        """Return the period of the same length that ends where this one starts."""
        return Period(self.start - (self.end - self.start), self.start)


def last_days(days: int, now: datetime) -> Period:
    """Return the last days, up to the next full hour.

    Raises:
        ConfigurationError: `days` is out of range.
    """
    if not 1 <= days <= 36_500:
        raise ConfigurationError(f"--days {days}: choose between 1 and 36500")
    end = _next_hour(now)
    return Period(end - timedelta(days=days), end)


def day_of(text: str | None, now: datetime) -> Period:
    """Return a day such as `2026-11-24`; None is yesterday.

    Raises:
        ConfigurationError: The text is not a day.
    """
    if text is None:
        return Period(_midnight(now) - _DAY, _midnight(now))
    try:
        start = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError as error:
        raise ConfigurationError(f"{text!r} is not a day; write it like 2026-11-24") from error
    return Period(start, start + _DAY)


def week_before(now: datetime) -> Period:
    """Return last week, Monday to Sunday."""
    monday = _midnight(now) - timedelta(days=now.weekday())
    return Period(monday - 7 * _DAY, monday)


def month_of(text: str | None, now: datetime) -> Period:
    """Return a month such as `2026-11`; None is last month.

    Raises:
        ConfigurationError: The text is not a month.
    """
    if text is None:
        last = _midnight(now).replace(day=1) - _DAY
        text = f"{last.year:04d}-{last.month:02d}"
    found = _MONTH.match(text)
    if found is None or not 1 <= int(found.group(2)) <= 12 or int(found.group(1)) < 1970:
        raise ConfigurationError(f"{text!r} is not a month; write it like 2026-11")
    year, month = int(found.group(1)), int(found.group(2))
    start = datetime(year, month, 1, tzinfo=UTC)
    return Period(start, start + timedelta(days=monthrange(year, month)[1]))


def quarter_of(text: str | None, now: datetime) -> Period:
    """Return a quarter such as `2026-Q4`; None is last quarter.

    Raises:
        ConfigurationError: The text is not a quarter.
    """
    if text is None:
        first_month = 3 * ((now.month - 1) // 3) + 1
        last = _midnight(now).replace(day=1, month=first_month) - _DAY
        text = f"{last.year}-Q{(last.month - 1) // 3 + 1}"
    found = _QUARTER.match(text)
    if found is None or int(found.group(1)) < 1970:
        raise ConfigurationError(f"{text!r} is not a quarter; write it like 2026-Q4")
    year, quarter = int(found.group(1)), int(found.group(2))
    start = month_of(f"{year}-{3 * quarter - 2:02d}", now).start
    return Period(start, month_of(f"{year}-{3 * quarter:02d}", now).end)


def _midnight(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _next_hour(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0) + _HOUR


@dataclass(frozen=True, slots=True)
class ReportScope:
    """Period, service, environment and person of a report. None means all."""

    period: Period
    service: str | None = None
    environment: str | None = None
    user_id: str | None = None
    """User id as stored."""

    def before(self) -> ReportScope:
        """Return the same scope for the previous period."""
        return replace(self, period=self.period.before())

    def rows(
        self, table: Table, time_ns: ColumnElement[Any], *, also: str | None = None
    ) -> ColumnElement[bool]:
        """Return the SQL condition for rows in this scope.

        Args:
            table: A table with the column `service`, and optionally `environment` and `user_id`.
            time_ns: Its time column, in nanoseconds since the epoch.
            also: Another service whose rows are included.
        """
        from sqlalchemy import and_

        conditions: list[ColumnElement[bool]] = [
            time_ns >= self.period.start_ns,
            time_ns < self.period.end_ns,
        ]
        if self.service is not None:
            services = [self.service] if also is None else [self.service, also]
            conditions.append(table.c.service.in_(services))
        if self.environment is not None and "environment" in table.c:
            conditions.append(table.c.environment == self.environment)
        if self.user_id is not None and "user_id" in table.c:
            conditions.append(table.c.user_id == self.user_id)
        return and_(*conditions)

    def step(self, time_ns: ColumnElement[Any]) -> ColumnElement[int]:
        """Return the number of the step that contains the time of a row."""
        step_ns = int(self.period.step.total_seconds()) * 1_000_000_000
        return ((time_ns - self.period.start_ns) // step_ns).label("step")

    def step_start(self, number: int) -> datetime:
        """Return the start of a step."""
        return self.period.start + number * self.period.step


def moment(ns: float) -> datetime:
    """Return the time (UTC, milliseconds) of nanoseconds since the epoch."""
    return datetime.fromtimestamp(int(ns // 1_000_000) / 1000, UTC)


def moment_or_none(ns: float | None) -> datetime | None:
    """Return the time of nanoseconds since the epoch, or None."""
    return None if ns is None else moment(ns)


class MeasuredMinutes:
    """Records the minutes in which a span ended.

    Args:
        start: Start of the period.
        end: End of the period, or now.
    """

    def __init__(self, start: datetime, end: datetime) -> None:
        self._start = start
        self._minutes = bytearray(max(0, int((end - start).total_seconds() // _MINUTE_S)))

    def add(self, start_s: float, length_s: float) -> None:
        """Record the minutes of a window."""
        first = int((start_s - self._start.timestamp()) // _MINUTE_S)
        last = min(len(self._minutes), first + max(1, int(length_s // _MINUTE_S)))
        first = max(0, first)
        if first < last:
            self._minutes[first:last] = b"\1" * (last - first)

    def coverage(
        self, *, relative_error: float, gap: timedelta, max_gaps: int, note: str
    ) -> MeasurementCoverage:
        """Return the measured minutes and the gaps, longest first."""
        first, last = self._minutes.find(b"\1"), self._minutes.rfind(b"\1")
        gaps = sorted(self._gaps(gap), key=lambda one: (one.start - one.end, one.start))
        return MeasurementCoverage(
            first=None if first < 0 else self._at(first),
            last=None if last < 0 else self._at(last + 1),
            minutes=len(self._minutes),
            minutes_measured=self._minutes.count(1),
            gaps=gaps,
            gaps_listed=max_gaps,
            relative_error=relative_error,
            note=note,
        )

    def _gaps(self, least: timedelta) -> Iterator[Gap]:
        at = 0
        for measured, run in groupby(self._minutes):
            length = sum(1 for _ in run)
            if not measured and timedelta(minutes=length) >= least:
                yield Gap(start=self._at(at), end=self._at(at + length))
            at += length

    def _at(self, minute: int) -> datetime:
        return (self._start + timedelta(minutes=minute)).astimezone(UTC)
