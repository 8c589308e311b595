"""A SQLite or PostgreSQL database: untraced connections with timeouts that survive forks."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final

from opentelemetry.instrumentation.utils import suppress_instrumentation
from sqlalchemy import Table, create_engine, event, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError
from sqlalchemy.pool import NullPool, QueuePool

from mita_otel.policy.storage import StorePolicy
from mita_otel.processors.queues.forks import after_fork_in_child
from mita_otel.store.errors import StoreDeniedError, StoreError, StoreUnavailableError, first_line
from mita_otel.store.fork_gate import ForkGate

_WRITE: Final = "mita_write"
_SQLITE_OUTAGES: Final = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOTADB,
    }
)
_OUTAGES: Final = frozenset(
    {
        "OperationalError",
        "InterfaceError",
        "LockNotAvailable",
        "QueryCanceled",
        "AdminShutdown",
        "CrashShutdown",
        "CannotConnectNow",
        "TooManyConnections",
        "DiskFull",
        "ReadOnlySqlTransaction",
        "DeadlockDetected",
        "SerializationFailure",
        "ConnectionTimeout",
    }
)
"""Names of psycopg's exceptions."""
_DRIVERS: Final = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
"""Drivers that replace the one of the service's URL, which may be asynchronous."""


class Database:
    """The store's database.

    Args:
        url: SQLAlchemy URL: `sqlite:///mita-otel.db`, `postgresql://user@host/name`.
        policy: Timeouts and the size of the pool.

    Raises:
        StoreError: The URL is invalid, or its driver is not installed.
    """

    def __init__(self, url: str, policy: StorePolicy) -> None:
        self._policy = policy
        self.url = _our_url(url)
        """The effective URL; `str()` hides the password."""
        self.engine = self._make_engine()
        self._gate = ForkGate(policy.lock_timeout_s) if self.is_sqlite else None
        after_fork_in_child(self._forget_connections)

    @property
    def is_sqlite(self) -> bool:
        """Whether it is SQLite. Otherwise it is PostgreSQL."""
        return self.engine.dialect.name == "sqlite"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """Yield a connection in a read-only transaction with a consistent snapshot.

        Raises:
            StoreUnavailableError: The database does not answer.
        """
        with self._connection() as connection:
            if not self.is_sqlite:
                connection = connection.execution_options(
                    isolation_level="REPEATABLE READ", postgresql_readonly=True
                )
            with connection.begin():
                yield connection

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """Yield a connection in a transaction. It commits at the end, or rolls back after an exception.

        Raises:
            StoreUnavailableError: The database does not answer, or a lock is held for too long.
        """
        with self._connection() as connection:
            connection = connection.execution_options(**{_WRITE: True})
            with connection.begin():
                if not self.is_sqlite:
                    connection.exec_driver_sql(
                        # Committed entries are deleted from the spool, so a commit must be durable whatever the server's default.
                        "SET LOCAL synchronous_commit = on; "
                        f"SET LOCAL statement_timeout = {int(self._policy.statement_timeout_s * 1000)}; "
                        f"SET LOCAL lock_timeout = {int(self._policy.lock_timeout_s * 1000)}"
                    )
                yield connection

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    @contextmanager
    def _connection(self) -> Iterator[Connection]:
        with suppress_instrumentation(), self._gate.inside() if self._gate else contextlib.nullcontext():
            try:
                with self.engine.connect() as connection:
                    yield connection
            except DBAPIError as error:
                translated = self._translated(error)
                if translated is None:
                    raise
                raise translated from error

    def _translated(self, error: DBAPIError) -> StoreError | None:
        """Return the error for an outage, a missing privilege or missing tables. None: the statement is wrong."""
        reason = first_line(error)
        if is_outage(error):
            return StoreUnavailableError(
                f"the database {self.url} does not answer: {reason}; "
                "check MITA_OTEL_DATABASE_URL and that the server runs"
            )
        if type(error.orig).__name__ == "InsufficientPrivilege":
            return StoreDeniedError(
                f"{self.url.username or 'this role'} lacks a privilege in {self.url}: {reason}; grant it (mita-otel store "
                "grant), or use the role that owns the tables"
            )
        if type(error.orig).__name__ == "UndefinedTable" or reason.startswith("no such table"):
            return StoreError(f"the store {self.url} lacks a table: {reason}; run: mita-otel store migrate")
        return None

    def _make_engine(self) -> Engine:
        timeout_s = self._policy.connect_timeout_s
        try:
            if self.url.get_backend_name() == "sqlite":
                engine = create_engine(
                    self.url,
                    hide_parameters=True,  # parameters may be personal data, and exceptions are logged
                    poolclass=None if _in_memory(self.url) else NullPool,
                    connect_args={"timeout": self._policy.lock_timeout_s, "check_same_thread": False},
                )
                _prepare_sqlite(engine)
                return engine
            return create_engine(
                self.url,
                hide_parameters=True,
                poolclass=QueuePool,
                pool_size=self._policy.pool_size,
                max_overflow=0,
                pool_timeout=timeout_s,
                pool_pre_ping=True,
                connect_args={
                    "connect_timeout": max(1, int(timeout_s)),
                    "application_name": "mita-otel",
                    # Detects a server that vanishes within about the statement timeout.
                    "keepalives_idle": max(1, int(timeout_s)),
                    "tcp_user_timeout": int(self._policy.statement_timeout_s * 1000),
                },
            )
        except ImportError as error:
            raise StoreError(
                f"the driver {error.name} of {self.url} is not installed; "
                "install it with: pip install 'mita-otel[postgresql]'"
            ) from error

    def _forget_connections(self) -> None:
        self.engine.dispose(close=False)


def is_outage(error: DBAPIError) -> bool:
    """Return whether the database is the cause, not the statement, so that a later attempt may succeed."""
    code = getattr(error.orig, "sqlite_errorcode", None)
    if code is not None:
        return (code & 0xFF) in _SQLITE_OUTAGES
    return error.connection_invalidated or type(error.orig).__name__ in _OUTAGES


def _our_url(url: str) -> URL:
    try:
        parsed = make_url(url)
        backend = {"postgres": "postgresql"}.get(parsed.get_backend_name(), parsed.get_backend_name())
    except (ArgumentError, NoSuchModuleError) as error:
        raise StoreError(
            "MITA_OTEL_DATABASE_URL is not a database URL; write it like postgresql://user:password@host/name "
            "or sqlite:///mita-otel.db"
        ) from error
    if backend not in _DRIVERS:
        raise StoreError(
            f"the store cannot use {backend}; MITA_OTEL_DATABASE_URL takes sqlite:/// and postgresql:// URLs"
        )
    return parsed.set(drivername=_DRIVERS[backend])


def _in_memory(url: URL) -> bool:
    return url.database in (None, "", ":memory:")


def _prepare_sqlite(engine: Engine) -> None:
    """Begin transactions explicitly (the driver would begin at the first change), and make commits durable."""

    @event.listens_for(engine, "do_connect")
    def make_private(dialect: Any, record: Any, arguments: Sequence[Any], options: Any) -> None:
        # Only the service may read the file; an existing file keeps its mode. Not with `open`: closing a file that another
        # thread has open meanwhile would release that thread's locks.
        path = str(arguments[0])
        if path != ":memory:" and not path.startswith("file:") and hasattr(os, "mknod"):
            with contextlib.suppress(OSError):  # it exists, or SQLite reports the error
                os.mknod(path, stat.S_IFREG | 0o600)

    @event.listens_for(engine, "connect")
    def connect(connection: Any, record: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        # The mode is stored in the file. A lock means that another connection is setting it.
        with contextlib.suppress(sqlite3.OperationalError):
            cursor.execute("PRAGMA journal_mode = WAL")
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.execute("PRAGMA secure_delete = ON")  # erased data must not stay in the file
        cursor.close()

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get(_WRITE)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert new rows."""
    if rows:
        connection.execute(insert(table), list(rows))


def insert_missing_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows whose primary key is new."""
    if rows:
        connection.execute(_insert(connection, table).on_conflict_do_nothing(), list(rows))


def add_counts(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Insert rows, or add their `count` to the existing rows with the same keys."""
    if rows:
        new = _insert(connection, table)
        total = {"count": table.c.count + new.excluded["count"]}
        statement = new.on_conflict_do_update(index_elements=list(keys), set_=total)
        for row in rows:  # in order, so that two writers cannot deadlock
            connection.execute(statement, row)


def replace_rows(
    connection: Connection, table: Table, keys: Sequence[str], rows: Sequence[dict[str, Any]]
) -> None:
    """Insert rows, or replace the existing rows with the same keys."""
    for row in rows:
        new = _insert(connection, table)
        changed = {name: new.excluded[name] for name in row if name not in keys}
        connection.execute(new.on_conflict_do_update(index_elements=list(keys), set_=changed), row)


def _insert(connection: Connection, table: Table) -> Any:
    return (sqlite if connection.dialect.name == "sqlite" else postgresql).insert(table)
