"""Roles: the database allows a service to add audit entries, and nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from alerts.kit import SCOPE, Bank, error
from audit.kit import Kit, changed, kit
from mita_otel import AuditEvent
from mita_otel.alerts.sql_store import SqlAlertStore
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.reader import AuditFilter, AuditReader
from mita_otel.audit.verification.verify import verify
from mita_otel.policy import default_policy
from mita_otel.store import StoreError
from mita_otel.store.append_only import grant, grants
from mita_otel.store.database import Database
from mita_otel.store.errors import StoreDeniedError
from mita_otel.store.exporter import StoreSpanExporter, StoreWriter
from mita_otel.store.lease import Lease
from mita_otel.store.migrate import upgrade

_numbers = itertools.count()


@pytest.fixture
def role(postgresql_url: str) -> Iterator[str]:
    name = f"service-{next(_numbers)}"
    with closing(Database(postgresql_url, default_policy().store)) as owner:
        upgrade(owner)
        with owner.write() as connection:
            connection.exec_driver_sql(f'CREATE ROLE "{name}" LOGIN')
        yield name
        with owner.write() as connection:
            connection.exec_driver_sql(f'DROP OWNED BY "{name}"')
            connection.exec_driver_sql(f'DROP ROLE "{name}"')


def as_role(url: str, role: str) -> str:
    return Database(url, default_policy().store).url.set(username=role).render_as_string(hide_password=False)


@pytest.fixture
def service(postgresql_url: str, role: str, tmp_path: Path) -> Iterator[Kit]:
    with closing(Database(postgresql_url, default_policy().store)) as owner:
        grant(owner, role)
    with kit(tmp_path, url=as_role(postgresql_url, role), policy=changed(store__migrate=False)) as made:
        yield made


def test_a_writer_role_has_the_privileges_that_a_service_needs(service: Kit) -> None:
    service.trail.record(AuditEvent(event_type="test", user_id="u1"))
    assert service.trail.flush(60)
    assert len(service.rows()) == 3
    assert verify(service.database, service.keys).ok
    from store.test_exporter import finished

    exporter = StoreSpanExporter(StoreWriter(service.database, migrate=False))
    for _ in range(2):
        marked = finished(attributes={"mita.redacted.rules": ("pan:1",), "mita.latency.exceeded": True})
        assert exporter.export([marked]).name == "SUCCESS"
    lease = Lease(service.database, "x", "me")
    assert lease.take(60)
    assert lease.take(60)
    store = SqlAlertStore(service.database, SCOPE, lease_s=30, migrate=False, max_queued=10)
    bank = Bank(store)
    bank.happens(error(0), error(1), error(2))
    assert len(bank.sent) == 2
    bank.evaluate(100 * 86_400)


@pytest.mark.parametrize(
    "table", ["audit_entries", "audit_tombstones", "audit_erasures", "errors", "legal_holds", "spans"]
)
@pytest.mark.parametrize(
    "statement", ["UPDATE mita_{} SET {} = NULL", "DELETE FROM mita_{}", "TRUNCATE mita_{}"]
)
def test_a_writer_can_neither_change_nor_delete(service: Kit, table: str, statement: str) -> None:
    column = {"audit_entries": "body", "audit_tombstones": "mac", "audit_erasures": "mac", "errors": "message", "legal_holds": "reason", "spans": "record"}[table]  # fmt: skip
    with pytest.raises(StoreDeniedError, match=r"permission denied"), service.database.write() as connection:
        connection.exec_driver_sql(statement.format(table, column))


@pytest.mark.parametrize("statement", ["INSERT INTO mita_audit_tombstones SELECT * FROM mita_audit_tombstones", "ALTER TABLE mita_audit_entries DISABLE TRIGGER ALL", "DROP TABLE mita_audit_entries", "SET session_replication_role = replica"])  # fmt: skip
def test_a_writer_cannot_prepare_a_deletion(service: Kit, statement: str) -> None:
    with (
        pytest.raises(StoreDeniedError, match=r"permission denied|must be owner"),
        service.database.write() as connection,
    ):
        connection.exec_driver_sql(statement)


def test_a_missing_privilege_is_reported_without_rows(service: Kit) -> None:
    with pytest.raises(StoreDeniedError) as caught, service.database.write() as connection:
        connection.exec_driver_sql("DELETE FROM mita_errors WHERE message = %s", ("the customer's words",))
    assert "permission denied for table mita_errors" in str(caught.value)
    assert "mita-otel store grant" in str(caught.value)
    assert "customer" not in f"{caught.value} {caught.value.__cause__}"


def test_a_missing_role_is_an_error(postgresql_url: str, role: str) -> None:
    with (
        closing(Database(postgresql_url, default_policy().store)) as owner,
        pytest.raises(StoreError, match=r"the role absent does not exist; .*CREATE ROLE"),
    ):
        grant(owner, "absent")


def test_a_role_with_the_owners_privileges_is_refused(postgresql_url: str, role: str) -> None:
    with closing(Database(postgresql_url, default_policy().store)) as owner:
        me = owner.url.username
        with pytest.raises(
            StoreError, match=rf"{me} has the privileges of the tables' owner {me} .* CREATE ROLE"
        ):
            grant(owner, str(me))
        with owner.write() as connection:
            connection.exec_driver_sql(f'GRANT "{me}" TO "{role}"')
        with pytest.raises(StoreError, match=r"a member of it"):
            grant(owner, role)


def test_reads_by_an_auditor_are_audited(postgresql_url: str, role: str, tmp_path: Path) -> None:
    with closing(Database(postgresql_url, default_policy().store)) as owner:
        grant(owner, role, "reader")
    with kit(tmp_path, url=as_role(postgresql_url, role), policy=changed(store__migrate=False)) as made:
        reader = AuditReader(lambda: made.database, made.trail, migrate=False)
        reader.recent(AuditFilter(), hours_back=None, limit=10, reader="auditor")
        assert made.trail.flush(60)
        assert made.rows("user_id", "event_type = 'audit_read'") == [("auditor",)]
        with pytest.raises(StoreDeniedError), made.database.write() as connection:
            connection.exec_driver_sql("DELETE FROM mita_audit_entries")


def test_a_reader_reads_and_verifies_and_writes_nothing_else(postgresql_url: str, role: str) -> None:
    with closing(Database(postgresql_url, default_policy().store)) as owner:
        grant(owner, role, "reader")
    with closing(Database(as_role(postgresql_url, role), default_policy().store)) as database:
        assert verify(database, AuditKeys(b"k" * 16)).ok
        with pytest.raises(StoreDeniedError, match=r"permission denied"), database.write() as connection:
            connection.exec_driver_sql("INSERT INTO mita_leases VALUES ('a', 'b', 1)")


def test_names_are_quoted() -> None:
    assert all('"a""; DROP TABLE x; --"' in one for one in grants('a"; DROP TABLE x; --'))


def test_sqlite_has_no_roles(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"restrict who can read and write the file"):
        grant(Database(f"sqlite:///{tmp_path / 'mita.db'}", default_policy().store), "x")
