"""Fixtures: a database for each test, on SQLite and on a real PostgreSQL. `conftest.py` offers them to every test."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from postgresql_server import running_postgresql

_numbers = itertools.count()


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server that ends with the session."""
    with running_postgresql() as server:
        yield server.url


@pytest.fixture
def postgresql_url(postgresql_server: str) -> Iterator[str]:
    """The URL of an empty database."""
    from sqlalchemy import create_engine

    name = f"test_{next(_numbers)}"
    engine = create_engine(postgresql_server, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    url = engine.url.set(database=name)
    yield url.render_as_string(hide_password=False)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
    engine.dispose()


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, SQLite's and then PostgreSQL's."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'mita-otel.db'}"
    url: str = request.getfixturevalue("postgresql_url")
    return url
