"""Creates and upgrades the store's tables, once even if several processes start together."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import column, inspect, select, table
from sqlalchemy.engine import Connection
from sqlalchemy.exc import ProgrammingError

from mita_otel.store import telemetry_tables  # noqa: F401 - their tables join METADATA
from mita_otel.store.database import Database
from mita_otel.store.errors import INSTALL, StoreDeniedError, StoreError, first_line
from mita_otel.store.tables import AuditEntryRow, Base

if TYPE_CHECKING:
    from alembic.config import Config

METADATA: Final = Base.metadata
"""Every table of the store."""
VERSION_TABLE: Final = "mita_schema_version"
"""Alembic's version table. Its name differs from Alembic's default, since a service may keep its own in the same database."""
REVISIONS: Final = ("0001_audit", "0002_telemetry", "0003_alerts")
"""Every revision of the tables, oldest first, as in `migrations/versions`."""
_ADVISORY_LOCK: Final = 0x6D697461  # "mita"
_VERSION: Final = table(VERSION_TABLE, column("version_num"))


def current_revision(database: Database) -> str | None:
    """Return the revision of the database. None: it has no tables of ours."""
    with database.read() as connection:
        return _current(connection)


def upgrade(database: Database, revision: str = "head") -> None:
    """Upgrade the tables to a revision. Does nothing if they have it.

    Raises:
        StoreError: Alembic is not installed, the role may not create tables, or tables exist without a revision.
    """
    command = _alembic()
    with _locked(database) as connection:
        _refuse_unknown_tables(connection)
        command.upgrade(_config(connection), revision)


def downgrade(database: Database, revision: str) -> None:
    """Downgrade the tables to a revision (`base` removes them).

    Raises:
        StoreError: Alembic is not installed, or the role may not drop tables.
    """
    command = _alembic()
    with _locked(database) as connection:
        command.downgrade(_config(connection), revision)


def require(database: Database, *, migrate: bool) -> None:
    """Ensure that the tables exist and have the latest revision.

    Args:
        database: The store.
        migrate: Whether they may be created and upgraded.

    Raises:
        StoreError: They need an upgrade that is not allowed, or a newer mita-otel has created them.
    """
    current = current_revision(database)
    if current == REVISIONS[-1]:
        return
    if current is not None and current not in REVISIONS:
        raise StoreError(
            f"the store {database.url} was created by a newer mita-otel (revision {current}); upgrade mita-otel here"
        )
    if not migrate:
        raise StoreError(
            f"the store {database.url} has revision {current or 'none'} and needs {REVISIONS[-1]}; run: mita-otel store migrate"
        )
    upgrade(database)


def _refuse_unknown_tables(connection: Connection) -> None:
    if _current(connection) is None and inspect(connection).has_table(AuditEntryRow.__tablename__):
        raise StoreError(
            f"the store {connection.engine.url} has tables of mita-otel, but {VERSION_TABLE} does not name their revision; "
            f"nothing was changed. If this version created them, insert its revision there: {REVISIONS[-1]}"
        )


def _current(connection: Connection) -> str | None:
    if not inspect(connection).has_table(VERSION_TABLE):
        return None
    revision = connection.execute(select(_VERSION.c.version_num)).scalar()
    return None if revision is None else str(revision)


@contextmanager
def _locked(database: Database) -> Iterator[Connection]:
    try:
        # SQLite has one writer at a time anyway.
        with database.write() as connection:
            if not database.is_sqlite:
                connection.exec_driver_sql("SET LOCAL lock_timeout = 0; SET LOCAL statement_timeout = 0")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ADVISORY_LOCK})")
            yield connection
    except (ProgrammingError, StoreDeniedError) as error:
        raise StoreError(
            f"the tables of {database.url} cannot be created: {first_line(error.__cause__ or error)}; "
            "run `mita-otel store migrate` as a role that may create tables"
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
