"""Purges errors, performance data and traces in small batches, except those under a legal hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import ColumnElement, Table, and_, delete, func, not_, select, tuple_

from mita_otel.audit.retention.holds import LegalHold, held, read_holds
from mita_otel.policy.storage import DataClass
from mita_otel.store.database import Database
from mita_otel.store.tables import ErasedSubjectRow, table_of
from mita_otel.store.telemetry_tables import BreachRow, ErrorRow, LatencyWindowRow, RedactionRow, SpanRow

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
