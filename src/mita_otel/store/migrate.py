"""Brings the store's tables up to date, once, however many processes start together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import column, inspect, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ProgrammingError

from mita_otel.store.database import Database
from mita_otel.store.errors import INSTALL, StoreDeniedError, StoreError, first_line
from mita_otel.store.schema import REVISIONS, VERSION_TABLE
from mita_otel.store.tables import AuditEntryRow

if TYPE_CHECKING:
    from alembic.config import Config

_ADVISORY_LOCK: Final = 0x6D697461  # "mita"
_VERSION: Final = table(VERSION_TABLE, column("version_num"))


def current_revision(database: Database) -> str | None:
    """Return the revision that the database is at; None if it has no tables of ours."""
    with database.read() as connection:
        return _current(connection)


def upgrade(database: Database, revision: str = "head") -> None:
    """Bring the tables up to a revision. Does nothing if they are there.

    Raises:
        StoreError: Alembic is not installed, the role may not make tables, or there are some of no known revision.
    """
    command = _alembic()
    with _locked(database) as connection:
        _refuse_unknown_tables(connection)
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Take the tables back to a revision (`base`: none of ours).

    Raises:
        StoreError: Alembic is not installed, or the role may not drop tables.
    """
    command = _alembic()
    with _locked(database) as connection:
        command.downgrade(_config(connection), revision)


def require(database: Database, *, migrate: bool) -> None:
    """See to it that the tables are there and up to date.

    Args:
        database: The store.
        migrate: Whether they may be changed.

    Raises:
        StoreError: They are not, and may not be changed; or a newer mita-otel made them.
    """
    current = current_revision(database)
    if current == REVISIONS[-1]:
        return
    if current is not None and current not in REVISIONS:
        raise StoreError(
            f"the store {database.url} was made by a newer mita-otel (its tables are at {current}); "
            "upgrade mita-otel here"
        )
    if not migrate:
        raise StoreError(
            f"the tables of the store {database.url} are at {current or 'nothing'}, {REVISIONS[-1]} is needed; "
            "run: mita-otel store migrate"
        )
    upgrade(database)


def _refuse_unknown_tables(connection: Connection) -> None:
    if _current(connection) is None and inspect(connection).has_table(AuditEntryRow.__tablename__):
        raise StoreError(
            f"the store {connection.engine.url} has tables of ours, and {VERSION_TABLE} does not say of which revision; "
            f"nothing is changed. If they are this version's, put its revision there: {REVISIONS[-1]}"
        )


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(select(_VERSION.c.version_num)).scalar()
    return None if revision is None else str(revision)


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    try:
        # SQLite's writer is the only one anyway.
        with database.write() as connection:
            if not database.is_sqlite:
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield connection
    except (ProgrammingError, StoreDeniedError) as error:
        raise StoreError(
            f"the tables of {database.url} cannot be made: {first_line(error.__cause__ or error)}; "
            "run `mita-otel store migrate` with a role that may"
        ) from error


def _alembic() -> Any:
    try:
        from alembic import command
    except ImportError as error:
        raise StoreError(f"the store's tables need alembic; install it with: {INSTALL}") from error
    return command


def _config(connection: Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    config.attributes["connection"] = connection
    return config
