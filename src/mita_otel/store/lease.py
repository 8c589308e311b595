"""A lease in the database: only its holder does certain work."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError

from mita_otel.store.database import Database
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import LeaseRow

_TABLE: Final = table_of(LeaseRow)
_SECOND: Final = 1_000_000_000


class Lease:
    """A named lease that expires.

    Args:
        database: The store.
        name: Name of the lease.
        holder: Identifies this process.
        clock_ns: Nanoseconds since the epoch.
    """

    def __init__(
        self, database: Database, name: str, holder: str, *, clock_ns: Callable[[], int] = time.time_ns
    ) -> None:
        self._database = database
        self._name = name
        self._holder = holder
        self._clock_ns = clock_ns

    def take(self, seconds: float) -> bool:
        """Acquire or renew the lease. Returns False if another process holds it.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        now_ns = self._clock_ns()
        mine = {"holder": self._holder, "until_ns": now_ns + int(seconds * _SECOND)}
        try:
            with self._database.write() as connection:
                row = connection.execute(
                    select(_TABLE).where(_TABLE.c.name == self._name).with_for_update()
                ).one_or_none()
                if row is None:
                    connection.execute(insert(_TABLE).values(name=self._name, **mine))
                    return True
                if row.until_ns > now_ns and row.holder != self._holder:
                    return False
                connection.execute(update(_TABLE).where(_TABLE.c.name == self._name).values(**mine))
                return True
        except IntegrityError:
            return False  # another process inserted the row at the same time
