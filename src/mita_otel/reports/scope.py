"""What a report is about: a period, perhaps one service, one environment, one person."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from mita_otel.reports.period import Period

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Table


@dataclass(frozen=True, slots=True)
class Scope:
    """What a report is about."""

    period: Period
    service: str | None = None
    """None: all."""
    environment: str | None = None
    """None: all."""
    user_id: str | None = None
    """As it is written in the store; None: everybody."""

    def before(self) -> Scope:
        """Return the same of the period before."""
        return replace(self, period=self.period.before())

    def rows(self, table: Table, time_ns: ColumnElement[Any]) -> ColumnElement[bool]:
        """Return the condition that a row belongs to it.

        Args:
            table: A table with the columns `service` and, perhaps, `environment` and `user_id`.
            time_ns: Its time, nanoseconds since the epoch.
        """
        from sqlalchemy import and_

        conditions: list[ColumnElement[bool]] = [
            time_ns >= self.period.start_ns,
            time_ns < self.period.end_ns,
        ]
        if self.service is not None:
            conditions.append(table.c.service == self.service)
        if self.environment is not None and "environment" in table.c:
            conditions.append(table.c.environment == self.environment)
        if self.user_id is not None and "user_id" in table.c:
            conditions.append(table.c.user_id == self.user_id)
        return and_(*conditions)

    def step(self, time_ns: ColumnElement[Any]) -> ColumnElement[int]:
        """Return the number of the step that a row's time lies in."""
        step_ns = int(self.period.step.total_seconds()) * 1_000_000_000
        return ((time_ns - self.period.start_ns) // step_ns).label("step")

    def step_start(self, number: int) -> datetime:
        """Return the beginning of a step."""
        return self.period.start + number * self.period.step


def moment(ns: float) -> datetime:
    """Return nanoseconds since the epoch as a time, UTC, to the millisecond."""
    return datetime.fromtimestamp(int(ns // 1_000_000) / 1000, UTC)


def moment_or_none(ns: float | None) -> datetime | None:
    """Return the time, or None."""
    return None if ns is None else moment(ns)
