"""Rolls up latency windows: minutes of all workers become an hour, hours become a day.

The sketches of the windows are merged, so that percentiles keep their accuracy.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, delete, func, not_, select, tuple_
from sqlalchemy.engine import Connection

from mita_otel.audit.retention.holds import LegalHold, held, read_holds
from mita_otel.latency.sketch import Sketch
from mita_otel.latency.window import LatencyWindow, add_up
from mita_otel.policy.storage import DataClass, SummaryPolicy
from mita_otel.store.database import Database, insert_rows
from mita_otel.store.tables import ErasedSubjectRow, table_of
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, LatencyWindowRow, RedactionRow, SpanRow
from mita_otel.store.windows import window_of, window_row

_logger = logging.getLogger("mita_otel")

_TABLE: Final = table_of(LatencyWindowRow)
_HOUR_S: Final = 3600
_DAY_S: Final = 86_400


class RollUp:
    """Merges many short windows into few long ones.

    Args:
        database: The store.
        policy: The relative error of merged sketches, and how many of the slowest spans to keep.
    """

    def __init__(self, database: Database, policy: SummaryPolicy) -> None:
        self._database = database
        self._policy = policy

    def roll_up(self, now_s: float, *, minutes_after_days: int, hours_after_days: int) -> int:
        """Roll up windows that are old enough, one hour or day per transaction.

        Args:
            now_s: Seconds since the epoch.
            minutes_after_days: Age in days from which minutes become hours.
            hours_after_days: Age in days from which hours become days.

        Returns:
            By how many rows the table shrank.
        """
        fewer = self._roll(_HOUR_S, now_s - minutes_after_days * _DAY_S)
        return fewer + self._roll(_DAY_S, now_s - hours_after_days * _DAY_S)

    def _roll(self, length_s: int, before_s: float) -> int:
        before_s -= before_s % length_s
        short = (_TABLE.c.length_s < length_s, _TABLE.c.start_s < before_s)
        fewer = 0
        while True:
            with self._database.read() as connection:
                first_s = connection.scalar(
                    select(_TABLE.c.start_s).where(*short).order_by(_TABLE.c.start_s).limit(1)
                )
            if first_s is None:
                return fewer
            with self._database.write() as connection:
                fewer += self._roll_one(connection, first_s - first_s % length_s, length_s)

    def _roll_one(self, connection: Connection, start_s: int, length_s: int) -> int:
        inside = (
            _TABLE.c.length_s < length_s,
            _TABLE.c.start_s >= start_s,
            _TABLE.c.start_s < start_s + length_s,
        )
        # A second process that rolls up waits here, and finds no rows afterwards.
        rows = connection.execute(select(_TABLE).where(*inside).with_for_update()).all()
        groups: dict[tuple[str, str, str, str], list[Any]] = defaultdict(list)
        for row in rows:
            groups[row.service, row.environment, row.kind, row.operation].append(row)
        connection.execute(delete(_TABLE).where(_TABLE.c.id.in_([row.id for row in rows])))
        insert_rows(
            connection,
            _TABLE,
            [
                window_row(self._sum(group, start_s, length_s), service, environment, operation)
                for (service, environment, _, operation), group in groups.items()
            ],
        )
        return len(rows) - len(groups)

    def _sum(self, rows: list[Any], start_s: int, length_s: int) -> LatencyWindow:
        total = add_up(map(self._readable, rows), self._policy.relative_error, self._policy.slowest)
        return replace(total, start_s=start_s, length_s=length_s)

    def _readable(self, row: Any) -> LatencyWindow:
        window = window_of(row)
        try:
            Sketch.unpack(window.sketch)
        except ValueError as error:
            _logger.warning("a latency window of %s has no percentiles: %s", window.operation, error)
            return replace(window, sketch=Sketch(self._policy.relative_error).pack())
        return window


_SECOND: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class KeptTable:
    """A table whose rows have a time and a data class."""

    data_class: DataClass
    table: Table
    time_ns: ColumnElement[Any]
    """Nanoseconds since the epoch."""
    user_id: ColumnElement[Any] | None = None


def kept_tables() -> Iterator[KeptTable]:
    """Yield all tables except those of the audit trail."""
    errors, spans = table_of(ErrorRow), table_of(SpanRow)
    windows, breaches, redactions = table_of(LatencyWindowRow), table_of(BreachRow), table_of(RedactionRow)
    yield KeptTable("errors", errors, errors.c.occurred_ns, errors.c.user_id)
    yield KeptTable("performance", windows, windows.c.start_s * _SECOND)
    yield KeptTable("performance", breaches, breaches.c.occurred_ns)
    yield KeptTable("performance", redactions, redactions.c.hour_ns)
    yield KeptTable("debug", spans, spans.c.start_ns, spans.c.user_id)
    subjects = table_of(ErasedSubjectRow)
    yield KeptTable("debug", subjects, subjects.c.erased_ns)


class RowPurge:
    """Counts and deletes rows.

    Args:
        database: The store.
        max_batch: Maximum rows per transaction.
    """

    def __init__(self, database: Database, *, max_batch: int) -> None:
        self._database = database
        self._max_batch = max_batch

    def count(self, kept: KeptTable, before_ns: int) -> int:
        """Return how many rows are past their retention period."""
        with self._database.read() as connection:
            over = _over(kept, before_ns, read_holds(connection))
            return connection.execute(select(func.count()).select_from(kept.table).where(over)).scalar_one()

    def purge(self, kept: KeptTable, before_ns: int) -> int:
        """Delete these rows and return their number.

        A legal hold that is placed in the meantime applies from the next batch on.
        """
        keys = list(kept.table.primary_key)
        deleted = 0
        while True:
            with self._database.write() as connection:
                over = _over(kept, before_ns, read_holds(connection))
                some = select(*keys).where(over).limit(self._max_batch)
                count = connection.execute(delete(kept.table).where(tuple_(*keys).in_(some))).rowcount
            deleted += count
            if count < self._max_batch:
                return deleted


def _over(kept: KeptTable, before_ns: int, holds: Sequence[LegalHold]) -> ColumnElement[bool]:
    return and_(kept.time_ns < before_ns, not_(held(holds, kept.data_class, kept.time_ns, kept.user_id)))
