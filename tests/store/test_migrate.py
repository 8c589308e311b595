"""Migrations: up and down on both databases, equal to the models, once with concurrent processes."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

from audit.kit import kit
from mita_otel import AuditEvent
from mita_otel.audit.verification.verify import verify
from mita_otel.policy import default_policy
from mita_otel.store import StoreError, migrations
from mita_otel.store.database import Database
from mita_otel.store.migrate import (
    METADATA,
    REVISIONS,
    VERSION_TABLE,
    current_revision,
    downgrade,
    require,
    upgrade,
)

POLICY = default_policy().store


@pytest.fixture(scope="module")
def has_tables() -> bool:
    """These tests create the tables themselves."""
    return False


def tables(database: Database) -> set[str]:
    with database.read() as connection:
        return {name for name in inspect(connection).get_table_names() if name != VERSION_TABLE}


def test_the_revisions_match_the_folder() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(migrations.__file__).parent))
    config.set_main_option("path_separator", "os")
    script = ScriptDirectory.from_config(config)
    assert [one.revision for one in reversed(list(script.walk_revisions()))] == list(REVISIONS)


def test_the_migrations_create_the_models_tables(database_url: str) -> None:
    database = Database(database_url, POLICY)
    upgrade(database)
    with database.read() as connection:
        context = MigrationContext.configure(
            connection,
            opts={"version_table": VERSION_TABLE, "compare_type": True, "target_metadata": METADATA},
        )
        assert compare_metadata(context, METADATA) == []
    database.close()


@pytest.mark.parametrize("revision", [*REVISIONS])
def test_every_revision_can_be_applied_and_reverted(database_url: str, revision: str) -> None:
    database = Database(database_url, POLICY)
    upgrade(database, revision)
    assert current_revision(database) == revision
    upgrade(database)
    assert current_revision(database) == REVISIONS[-1]
    downgrade(database, revision)
    assert current_revision(database) == revision
    downgrade(database, "base")
    assert current_revision(database) is None
    assert tables(database) == set()
    upgrade(database)
    assert tables(database) == set(METADATA.tables)
    database.close()


@pytest.mark.parametrize("revision", [*REVISIONS])
def test_an_audit_trail_survives_every_revision(database_url: str, tmp_path: Path, revision: str) -> None:
    with kit(tmp_path, url=database_url) as made:
        for number in range(10):
            made.trail.record(AuditEvent(event_type="test", user_id="u1", details={"n": number}))
        assert made.trail.close(60)
        before = made.rows()
        for _ in range(2):
            downgrade(made.database, revision)
            assert made.rows() == before
            upgrade(made.database)
            assert made.rows() == before
        assert verify(made.database, made.keys, anchors=made.anchors()).ok


def test_concurrent_processes_migrate_once(database_url: str) -> None:
    errors: list[BaseException] = []
    barrier = threading.Barrier(4)

    def start() -> None:
        database = Database(database_url, POLICY)
        try:
            barrier.wait()
            require(database, migrate=True)
        except BaseException as error:  # noqa: BLE001 - shown by the assertion
            errors.append(error)
        finally:
            database.close()

    threads = [threading.Thread(target=start) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_a_needed_migration_that_is_not_allowed_is_reported(database_url: str) -> None:
    database = Database(database_url, POLICY)
    with pytest.raises(StoreError, match=r"has revision none and needs .*; run: mita-otel store migrate"):
        require(database, migrate=False)
    database.close()


def test_tables_of_a_newer_version_are_not_changed(database_url: str) -> None:
    database = Database(database_url, POLICY)
    upgrade(database)
    with database.write() as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999_future'")
    with pytest.raises(StoreError, match=r"newer mita-otel .*9999_future.*upgrade"):
        require(database, migrate=True)
    database.close()


def test_tables_without_a_revision_are_not_changed_but_reported(database_url: str) -> None:
    database = Database(database_url, POLICY)
    upgrade(database)
    with database.write() as connection:
        connection.exec_driver_sql(f"DELETE FROM {VERSION_TABLE}")
    with pytest.raises(StoreError, match=rf"{VERSION_TABLE} does not name .*{REVISIONS[-1]}"):
        require(database, migrate=True)
    with database.write() as connection:
        connection.exec_driver_sql(f"INSERT INTO {VERSION_TABLE} VALUES ('{REVISIONS[-1]}')")
    require(database, migrate=True)
    database.close()


def test_a_role_that_cannot_create_tables_gets_the_fix(postgresql_url: str) -> None:
    owner = Database(postgresql_url, POLICY)
    with owner.write() as connection:
        connection.exec_driver_sql("CREATE ROLE stranger LOGIN")
        connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        connection.exec_driver_sql("GRANT USAGE ON SCHEMA public TO stranger")
    stranger = Database(owner.url.set(username="stranger").render_as_string(hide_password=False), POLICY)
    with pytest.raises(StoreError, match=r"cannot be created: .*permission denied.*mita-otel store migrate"):
        require(stranger, migrate=True)
    stranger.close()
    with owner.write() as connection:
        connection.exec_driver_sql("REVOKE ALL ON SCHEMA public FROM stranger")
        connection.exec_driver_sql("DROP ROLE stranger")
    owner.close()
