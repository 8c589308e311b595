"""Latency windows in the store: each worker writes its own, and readers add them up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any, Final

import orjson
from sqlalchemy import select
from sqlalchemy.engine import Connection

from mita_otel._json import json_bytes
from mita_otel.latency.window import LatencyWindow, SlowSpan
from mita_otel.redaction import Redactor
from mita_otel.store.database import Database, insert_rows
from mita_otel.store.migrate import require
from mita_otel.store.rows import clean
from mita_otel.store.tables import table_of
from mita_otel.store.telemetry_tables import LatencyWindowRow

_TABLE: Final = table_of(LatencyWindowRow)
_ROWS: Final = 1000


class StoreWindows:
    """A `WindowStore` for one service.

    Args:
        database: The store.
        redactor: Redacts names of operations, some of which the service chooses.
        service: The service's name.
        environment: The environment's name.
        migrate: Whether missing tables may be created.
    """

    def __init__(
        self, database: Database, redactor: Redactor, *, service: str, environment: str, migrate: bool
    ) -> None:
        self._database = database
        self._redactor = redactor
        self._service = service
        self._environment = environment
        self._migrate = migrate
        self._ready = False

    def write_windows(self, windows: Iterable[LatencyWindow], /) -> None:
        """Write windows, all or none.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        self._prepare()
        rows = [
            window_row(window, self._service, self._environment, self._redactor.text(window.operation))
            for window in windows
        ]
        with self._database.write() as connection:
            insert_rows(connection, _TABLE, rows)

    def read_windows(self, start_s: float, end_s: float, /) -> list[LatencyWindow]:
        """Return the windows of this service's workers that start at `start_s` or later and before `end_s`.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        self._prepare()
        with self._database.read() as connection:
            return list(
                windows_of(connection, start_s, end_s, service=self._service, environment=self._environment)
            )

    def _prepare(self) -> None:
        if not self._ready:
            require(self._database, migrate=self._migrate)
            self._ready = True


def windows_of(
    connection: Connection,
    start_s: float,
    end_s: float,
    *,
    service: str | None = None,
    environment: str | None = None,
) -> Iterator[LatencyWindow]:
    """Yield windows in order of their start, in bounded memory.

    Args:
        connection: The store.
        start_s: Seconds since the epoch.
        end_s: Exclusive.
        service: Only this service. None: all.
        environment: Only this environment. None: all.
    """
    statement = select(_TABLE).where(_TABLE.c.start_s >= start_s, _TABLE.c.start_s < end_s)
    if service is not None:
        statement = statement.where(_TABLE.c.service == service)
    if environment is not None:
        statement = statement.where(_TABLE.c.environment == environment)
    rows = connection.execution_options(yield_per=_ROWS).execute(
        statement.order_by(_TABLE.c.start_s, _TABLE.c.id)
    )
    for row in rows:
        yield window_of(row)


def window_row(window: LatencyWindow, service: str, environment: str, operation: str) -> dict[str, Any]:
    """Return the row of a window."""
    return {
        "start_s": window.start_s,
        "length_s": window.length_s,
        "service": clean(service),
        "environment": clean(environment),
        "kind": window.kind,
        "operation": clean(operation),
        "rule": window.rule,
        "limit_ms": window.limit_ms,
        "count": window.count,
        "errors": window.errors,
        "breaches": window.breaches,
        "total_ms": window.total_ms,
        "min_ms": window.min_ms,
        "max_ms": window.max_ms,
        "sketch": window.sketch,
        "slowest": json_bytes([asdict(one) for one in window.slowest]).decode(),
    }


def window_of(row: Any) -> LatencyWindow:
    """Return the window of a row."""
    return LatencyWindow(
        start_s=row.start_s,
        length_s=row.length_s,
        kind=row.kind,
        operation=row.operation,
        rule=row.rule,
        limit_ms=row.limit_ms,
        count=row.count,
        errors=row.errors,
        breaches=row.breaches,
        total_ms=row.total_ms,
        min_ms=row.min_ms,
        max_ms=row.max_ms,
        sketch=bytes(row.sketch),
        slowest=tuple(SlowSpan(**one) for one in orjson.loads(row.slowest)),
    )
