"""Append-only: the database refuses every change except inserts, erasures, and purges behind a tombstone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy.exc import DBAPIError

from audit.kit import Kit, kit
from mita_otel import AuditEvent


@pytest.fixture
def made(tmp_path: Path, database_url: str) -> Iterator[Kit]:
    with kit(tmp_path, url=database_url) as made:
        for number in range(3):
            made.trail.record(AuditEvent(event_type="test", user_id="u1", details={"n": number}))
        assert made.trail.flush(60)
        yield made


def run(made: Kit, *statements: str) -> None:
    with made.database.write() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


TOMBSTONE = (
    "INSERT INTO mita_audit_tombstones SELECT chain, 0, 2, '', mac, 0, 0, 0, '', '', '' "
    "FROM mita_audit_entries WHERE sequence = 2"
)
ERASURE = "INSERT INTO mita_audit_erasures VALUES ('e1', 0, 1, '', '', '')"
HOLD = "INSERT INTO mita_legal_holds (id, created_ns, created_by, reason) VALUES ('h1', 0, '', '')"


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE mita_audit_entries SET body = body || ' '",
        "UPDATE mita_audit_entries SET mac = 'x' WHERE sequence = 1",
        "UPDATE mita_audit_entries SET user_id = 'u2' WHERE sequence = 3",
        "UPDATE mita_audit_entries SET user_id = NULL WHERE sequence = 3",
        "UPDATE mita_audit_entries SET sequence = sequence + 100",
        "UPDATE mita_audit_entries SET erasure_id = 'e', erasure_mac = 'm' WHERE sequence = 3",
        "UPDATE mita_audit_entries SET recorded_ns = 1",
        "DELETE FROM mita_audit_entries",
        "DELETE FROM mita_audit_entries WHERE sequence = 4",
        "UPDATE mita_audit_tombstones SET last_sequence = 1000",
        "DELETE FROM mita_audit_tombstones",
        "UPDATE mita_audit_erasures SET entries = 0",
        "DELETE FROM mita_audit_erasures",
        "DELETE FROM mita_legal_holds",
    ],
)
def test_everything_but_inserts_is_refused(made: Kit, statement: str) -> None:
    run(made, TOMBSTONE, ERASURE, HOLD)
    before = made.rows()
    with pytest.raises(DBAPIError, match=r"append-only"):
        run(made, statement)
    assert made.rows() == before


def test_an_entry_cannot_be_replaced(made: Kit) -> None:
    columns = "chain, sequence, recorded_ns, event_type, outcome, service, body, mac, key_id"
    verb = "INSERT OR REPLACE" if made.database.is_sqlite else "INSERT"
    before = made.rows()
    with pytest.raises(DBAPIError, match=r"(?i)unique"):
        run(made, f"{verb} INTO mita_audit_entries ({columns}) SELECT {columns} FROM mita_audit_entries")
    assert made.rows() == before


@pytest.mark.parametrize("table", ["entries", "tombstones", "erasures"])
def test_a_table_cannot_be_truncated(made: Kit, table: str) -> None:
    if made.database.is_sqlite:
        pytest.skip("SQLite has no TRUNCATE")
    with pytest.raises(DBAPIError, match=rf"mita_audit_{table} is append-only"):
        run(made, f"TRUNCATE mita_audit_{table}")


def test_only_entries_with_a_tombstone_may_be_deleted(made: Kit) -> None:
    run(made, TOMBSTONE, "DELETE FROM mita_audit_entries WHERE sequence <= 2")
    assert [sequence for (sequence,) in made.rows("sequence")] == [3, 4]
    with pytest.raises(DBAPIError, match=r"run: mita-otel retention apply"):
        run(made, "DELETE FROM mita_audit_entries")


def test_a_temporary_table_does_not_replace_the_tombstones(made: Kit) -> None:
    if made.database.is_sqlite:
        pytest.skip("SQLite has no privileges: any statement is possible")
    with pytest.raises(DBAPIError, match=r"append-only"):
        run(
            made,
            "CREATE TEMPORARY TABLE mita_audit_tombstones (chain text, first_sequence bigint, last_sequence bigint)",
            "INSERT INTO pg_temp.mita_audit_tombstones SELECT chain, 0, 100 FROM mita_audit_entries",
            "DELETE FROM mita_audit_entries",
        )


def test_an_erasure_may_remove_the_personal_part_once(made: Kit) -> None:
    erase = (
        "UPDATE mita_audit_entries SET user_id = NULL, personal = NULL, personal_key = NULL, "
        "erasure_id = '{}', erasure_mac = 'm' WHERE user_id = 'u1' OR sequence = 3"
    )
    run(made, erase.format("e1"))
    with pytest.raises(DBAPIError, match=r"append-only"):
        run(made, erase.format("e2"))
