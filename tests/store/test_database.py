"""The store: URLs of any form, drivers, missing extras; connections respect deadlines and forks."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import event

from audit.kit import changed
from mita_otel.policy import default_policy
from mita_otel.store import StoreError, StoreUnavailableError, open_database
from mita_otel.store import database_url as url_of
from mita_otel.store.database import Database

POLICY = default_policy().store


@pytest.fixture(scope="module")
def has_tables() -> bool:
    """These tests create the tables themselves."""
    return False


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://u:p@h/d", "postgresql+psycopg"),
        ("postgres://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+asyncpg://u:p@h/d", "postgresql+psycopg"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql+psycopg"),
        ("sqlite+aiosqlite:///x.db", "sqlite"),
        ("sqlite:///x.db", "sqlite"),
    ],
)
def test_the_services_url_is_accepted_with_any_driver(url: str, driver: str) -> None:
    database = Database(url, POLICY)
    assert database.url.drivername == driver
    assert "p@" not in str(database.url)


@pytest.mark.parametrize("url", ["not a url", "http//x", "", "mysql://h/d", "oracle://h/d"])
def test_an_unsupported_url_is_refused_with_the_variables_name(url: str) -> None:
    with pytest.raises(StoreError, match=r"MITA_OTEL_DATABASE_URL"):
        Database(url, POLICY)


def test_the_variable_takes_precedence_over_the_policy() -> None:
    assert url_of(POLICY, {"MITA_OTEL_DATABASE_URL": " sqlite:///other.db "}) == "sqlite:///other.db"
    assert url_of(POLICY, {}) == "sqlite:///mita-otel.db"
    assert open_database(POLICY, {"MITA_OTEL_DATABASE_URL": "sqlite:///other.db"}).is_sqlite


@pytest.mark.parametrize("missing", ["sqlalchemy", "alembic"])
def test_a_missing_extra_is_one_clear_message(tmp_path: Path, missing: str) -> None:
    code = f"""
import sys
sys.modules[{missing!r}] = None
from mita_otel.policy import default_policy
from mita_otel.store import open_database
database = open_database(default_policy().store, {{}})
from mita_otel.store.migrate import upgrade
upgrade(database)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "StoreError" in ran.stderr.splitlines()[-1]
    assert "pip install 'mita-otel[store]'" in ran.stderr.splitlines()[-1]


def test_a_missing_driver_is_one_clear_message(tmp_path: Path) -> None:
    code = """
import sys
sys.modules["psycopg"] = None
from mita_otel.policy import default_policy
from mita_otel.store.database import Database
Database("postgresql://h/d", default_policy().store)
"""
    ran = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "pip install 'mita-otel[postgresql]'" in ran.stderr.splitlines()[-1]


def test_an_unreachable_server_is_reported_without_the_password(tmp_path: Path) -> None:
    database = Database(
        f"postgresql://user:hunter2@/d?host={tmp_path}", changed(store__connect_timeout_s=1).store
    )
    with pytest.raises(StoreUnavailableError, match=r"does not answer") as caught, database.read():
        pass
    assert "hunter2" not in str(caught.value)


def test_a_wrong_statement_is_not_an_outage(database_url: str) -> None:
    from sqlalchemy.exc import DBAPIError

    database = Database(database_url, POLICY)
    with pytest.raises(DBAPIError), database.read() as connection:
        connection.exec_driver_sql("SELECT nonsense")
    database.close()


def test_a_file_that_is_not_a_database_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "mita.db"
    path.write_bytes(b"this is not a database" * 100)
    with (
        pytest.raises(StoreUnavailableError, match=r"file is not a database"),
        Database(f"sqlite:///{path}", POLICY).read(),
    ):
        pass


def test_a_failed_transaction_is_rolled_back(database_url: str) -> None:
    database = Database(database_url, POLICY)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")

    def half() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        half()
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT count(*) FROM t").scalar_one() == 0
    database.close()


def test_a_read_has_a_consistent_snapshot_and_cannot_write(postgresql_url: str) -> None:
    from sqlalchemy.exc import DBAPIError

    database = Database(postgresql_url, POLICY)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")
    with database.read() as reading:
        assert reading.exec_driver_sql("SELECT count(*) FROM t").scalar_one() == 0
        with database.write() as writing:
            writing.exec_driver_sql("INSERT INTO t VALUES (1)")
        assert reading.exec_driver_sql("SELECT count(*) FROM t").scalar_one() == 0
    with pytest.raises((DBAPIError, StoreUnavailableError), match=r"read-only"), database.read() as reading:
        reading.exec_driver_sql("INSERT INTO t VALUES (2)")
    database.close()


def test_a_forked_child_does_not_use_its_parents_connections(postgresql_url: str) -> None:
    database = Database(postgresql_url, POLICY)
    with database.read() as connection:
        mine = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
    pid = os.fork()
    if pid == 0:
        try:
            with database.read() as connection:
                other = connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one()
            os._exit(0 if other != mine else 1)
        except BaseException:  # noqa: BLE001 - the child must never come back into pytest
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    with database.read() as connection:
        assert connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one() == mine
    database.close()


def test_a_child_forked_during_a_transaction_finds_no_lock(tmp_path: Path) -> None:
    """SQLite's table of locks is inherited: without a gate, the child would wait for a thread that it has not."""
    import threading

    database = Database(f"sqlite:///{tmp_path / 'mita.db'}", changed(store__lock_timeout_s=60).store)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE t (x INTEGER)")

    def work() -> None:
        with database.write() as connection:
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
            inside.set()
            forked.wait(0.2)

    codes = []
    for _ in range(5):
        inside, forked = threading.Event(), threading.Event()
        thread = threading.Thread(target=work)
        thread.start()
        assert inside.wait(60)
        pid = os.fork()
        if pid == 0:
            try:
                with database.write() as connection:
                    connection.exec_driver_sql("INSERT INTO t VALUES (2)")
                os._exit(0)
            except BaseException:  # noqa: BLE001 - the child must never come back into pytest
                os._exit(1)
        forked.set()
        codes.append(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
        thread.join()
    assert codes == [0] * 5
    database.close()


def test_a_fork_inside_the_same_threads_transaction_does_not_hang(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'mita.db'}", POLICY)
    with database.read(), database.read():
        pid = os.fork()
        if pid == 0:
            os._exit(0)
        assert os.waitpid(pid, 0)[1] == 0
    database.close()


def test_missing_tables_are_reported_with_the_fix(database_url: str) -> None:
    with (
        closing(Database(database_url, POLICY)) as database,
        pytest.raises(StoreError, match=r"mita_nothing.*run: mita-otel store migrate"),
        database.read() as read,
    ):
        read.exec_driver_sql("SELECT 1 FROM mita_nothing")


def test_a_new_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    """The file contains the audit trail with names of persons."""
    path = tmp_path / "mita-otel.db"
    database = Database(f"sqlite:///{path}", POLICY)
    with database.write() as connection:
        connection.exec_driver_sql("CREATE TABLE x (y)")
        files = list(tmp_path.glob("mita-otel.db*"))
        assert len(files) > 1
        assert {one.stat().st_mode & 0o777 for one in files} == {0o600}


def test_an_existing_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "mita-otel.db"
    path.touch(0o644)
    path.chmod(0o640)
    with Database(f"sqlite:///{path}", POLICY).write() as connection:
        connection.exec_driver_sql("CREATE TABLE x (y)")
    assert path.stat().st_mode & 0o777 == 0o640


def test_deleted_data_does_not_stay_in_the_sqlite_file(tmp_path: Path) -> None:
    """SQLite overwrites deleted data only with `secure_delete`, which an erasure needs."""
    database = Database(f"sqlite:///{tmp_path / 'mita-otel.db'}", POLICY)

    def another_build(connection: sqlite3.Connection, record: object) -> None:
        connection.execute("PRAGMA secure_delete = OFF")

    event.listen(database.engine, "connect", another_build, insert=True)
    with database.read() as connection:
        assert connection.exec_driver_sql("PRAGMA secure_delete").scalar() == 1
