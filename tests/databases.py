"""Fixtures: a database for each test, on SQLite and on a real PostgreSQL. `conftest.py` offers them to every test.

Tables come from a copy of one migrated database, since a migration takes half a second.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pytest

from postgresql_server import running_postgresql

if TYPE_CHECKING:
    from sqlalchemy.engine import Connection

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server that ends with the session."""
    with running_postgresql() as server:
        yield server.url


@pytest.fixture(scope="session")
def has_tables() -> bool:
    """Whether a test's database has the store's tables. Modules that test their creation override it."""
    return True


@pytest.fixture(scope="session")
def postgresql_with_tables(postgresql_server: str) -> str:
    """The name of a database with the store's tables. PostgreSQL copies it faster than a migration creates them."""
    name = "with_tables"
    with _administrator(postgresql_server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    _create_tables(_url_of(postgresql_server, name))
    return name


def sqlite_url(file: Path) -> str:
    """Return the URL of a SQLite file with the store's tables; the file is created if it does not exist."""
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(_sqlite_with_tables())
    return f"sqlite:///{file}"


@cache
def _sqlite_with_tables() -> bytes:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "mita-otel.db"
        _create_tables(f"sqlite:///{file}")
        return file.read_bytes()


@pytest.fixture
def postgresql_url(request: pytest.FixtureRequest, postgresql_server: str, has_tables: bool) -> Iterator[str]:
    """The URL of a database that no other test uses."""
    name = f"test_{next(_numbers)}"
    template = request.getfixturevalue("postgresql_with_tables") if has_tables else "template1"
    with _administrator(postgresql_server) as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} TEMPLATE {template}")
        yield _url_of(postgresql_server, name)
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path, has_tables: bool) -> str:
    """The URL of a database that no other test uses, SQLite's and then PostgreSQL's."""
    if request.param == "sqlite":
        file = tmp_path / "mita-otel.db"
        return sqlite_url(file) if has_tables else f"sqlite:///{file}"
    url: str = request.getfixturevalue("postgresql_url")
    return url


@contextmanager
def _administrator(server: str) -> Iterator[Connection]:
    from sqlalchemy import create_engine

    engine = create_engine(server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        yield connection
    engine.dispose()


def _url_of(server: str, name: str) -> str:
    from sqlalchemy import make_url

    return make_url(server).set(database=name).render_as_string(hide_password=False)


def _create_tables(url: str) -> None:
    from mita_otel.policy import default_policy
    from mita_otel.store.database import Database
    from mita_otel.store.migrate import upgrade

    with closing(Database(url, default_policy().store)) as database:
        upgrade(database)
        if database.is_sqlite:
            with database.engine.connect() as connection:
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
