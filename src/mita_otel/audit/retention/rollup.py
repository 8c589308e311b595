"""Rolls up latency windows: minutes of all workers become an hour, hours become a day.

The sketches of the windows are merged, so that percentiles keep their accuracy.
"""

from __future__ import annotations

import logging
from collections import defaultdict
from dataclasses import replace
from typing import Any, Final

from sqlalchemy import delete, select
from sqlalchemy.engine import Connection

from mita_otel.latency.sketch import Sketch
from mita_otel.latency.window import LatencyWindow, add_up
from mita_otel.policy.storage import SummaryPolicy
from mita_otel.store.database import Database
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import LatencyWindowRow
from mita_otel.store.upserts import insert_rows
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
