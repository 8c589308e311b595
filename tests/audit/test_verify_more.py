"""Verification of triggers, anchors, keys, spooled entries and values of unexpected types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from audit.kit import KEY, changed, kit
from audit.ledger_to_tamper import Ledger
from audit.tampering import COLUMNS, put
from exploring import examples
from mita_otel import AuditEvent
from mita_otel.audit.anchors import Anchor, AnchorFile, read_anchors
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.errors import AuditError
from mita_otel.audit.verification.findings import AuditFault
from mita_otel.audit.verification.verify import verify
from mita_otel.store.append_only import postgresql_triggers, sqlite_triggers

KEYS = AuditKeys(KEY.encode())


@pytest.mark.parametrize("name", sorted({*sqlite_triggers(), *postgresql_triggers()}))
def test_a_missing_trigger_is_reported(ledger: Ledger, name: str) -> None:
    ours = sqlite_triggers() if ledger.database.is_sqlite else postgresql_triggers()
    if name not in ours:
        pytest.skip("the other database's")
    on = "" if ledger.database.is_sqlite else f" ON {ours[name].split(' ON ')[1].split()[0]}"
    with ledger.database.write() as connection:
        connection.exec_driver_sql(f"DROP TRIGGER {name}{on}")
    assert [str(one) for one in ledger.verify().findings] == [f"trigger: the trigger {name} is missing"]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE mita_audit_entries DISABLE TRIGGER mita_audit_entries_delete",
        "CREATE OR REPLACE FUNCTION mita_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN OLD; END $$",
        "CREATE OR REPLACE TRIGGER mita_audit_entries_update BEFORE UPDATE ON mita_audit_entries "
        "FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
        "CREATE OR REPLACE TRIGGER mita_audit_entries_delete BEFORE DELETE ON mita_audit_entries "
        "FOR EACH ROW WHEN (OLD.sequence < 0) EXECUTE FUNCTION mita_audit_entry_deleted()",
        "CREATE OR REPLACE TRIGGER mita_audit_entries_update BEFORE UPDATE OF user_id ON mita_audit_entries "
        "FOR EACH ROW EXECUTE FUNCTION mita_audit_entry_changed()",
        "DROP TRIGGER mita_audit_entries_delete ON mita_audit_entries; CREATE TRIGGER mita_audit_entries_delete "
        "BEFORE DELETE ON mita_spans FOR EACH ROW EXECUTE FUNCTION mita_audit_entry_deleted()",
        "CREATE SCHEMA aside; CREATE FUNCTION aside.mita_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RETURN OLD; END $$; CREATE OR REPLACE TRIGGER mita_audit_erasures_delete BEFORE DELETE "
        "ON mita_audit_erasures FOR EACH ROW EXECUTE FUNCTION aside.mita_append_only()",
    ],
)
def test_a_disabled_trigger_is_reported(ledger: Ledger, statement: str) -> None:
    if ledger.database.is_sqlite:
        pytest.skip("for PostgreSQL only")
    with ledger.database.write() as connection:
        connection.exec_driver_sql(statement)
    result = ledger.verify()
    assert set(result.faults) == {AuditFault.TRIGGER}


def test_a_replaced_trigger_without_effect_is_reported(ledger: Ledger) -> None:
    if not ledger.database.is_sqlite:
        pytest.skip("for SQLite only")
    with ledger.database.write() as connection:
        connection.exec_driver_sql("DROP TRIGGER mita_audit_entries_delete")
        connection.exec_driver_sql(
            "CREATE TRIGGER mita_audit_entries_delete BEFORE DELETE ON mita_audit_entries BEGIN SELECT 1; END"
        )
    assert [str(one) for one in ledger.verify().findings] == [
        "trigger: the trigger mita_audit_entries_delete was changed"
    ]


@pytest.mark.parametrize(
    ("column", "value"),
    [("body", "x'00'"), ("mac", "x'00'"), ("key_id", "7"), ("personal", "x'7b7d'"), ("sequence", "'ten'"), ("recorded_ns", "'x'")],
)  # fmt: skip
def test_a_value_of_another_type_is_reported(ledger: Ledger, column: str, value: str) -> None:
    if not ledger.database.is_sqlite:
        pytest.skip("only SQLite takes a value of any type in any column")
    with ledger.tampering() as connection:
        connection.exec_driver_sql(
            f"UPDATE mita_audit_entries SET {column} = {value} WHERE chain = '{ledger.a}' AND sequence = 10"
        )
    assert not ledger.verify().ok


@settings(max_examples=examples(40), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    sequence=st.integers(0, 32),
    column=st.sampled_from(["body", "mac", "key_id", "service", "event_type", "outcome"]),
    position=st.integers(0, 10**6),
    character=st.characters(min_codepoint=32, max_codepoint=126),
)
def test_any_changed_character_is_found(
    ledger: Ledger, sequence: int, column: str, position: int, character: str
) -> None:
    where = f"WHERE chain = '{ledger.a}' AND sequence = {sequence}"
    with ledger.database.read() as connection:
        before = connection.exec_driver_sql(f"SELECT {column} FROM mita_audit_entries {where}").scalar_one()
    at = position % len(before)
    after = before[:at] + character + before[at + 1 :]

    def write(value: str) -> None:
        with ledger.tampering() as connection:
            escaped = value.replace("'", "''").replace("%", "%" if ledger.database.is_sqlite else "%%")
            connection.exec_driver_sql(f"UPDATE mita_audit_entries SET {column} = '{escaped}' {where}")

    write(after)
    try:
        result = ledger.verify()
        assert result.ok == (before == after)
        assert before == after or any(
            (one.chain, one.sequence) == (ledger.a, sequence) for one in result.findings
        )
    finally:
        write(before)


def test_a_changed_or_forged_anchor_is_reported(ledger: Ledger) -> None:
    lines = ledger.anchors.read_text().splitlines()
    first = json.loads(lines[0])
    forged = Anchor.sign(AuditKeys(None), chain=ledger.a, sequence=1000, mac="0" * 64, noted_ns=1)
    lines[0] = json.dumps({**first, "sequence": first["sequence"] + 1})
    ledger.anchors.write_text("\n".join([*lines, forged.line().decode()]))
    result = ledger.verify()
    assert set(result.faults) == {AuditFault.ANCHOR}
    assert [one.sequence for one in result.findings] == [first["sequence"] + 1, 1000]


def test_contradicting_anchors_are_reported(ledger: Ledger) -> None:
    with ledger.anchors.open("ab") as file:
        file.write(Anchor.sign(KEYS, chain=ledger.a, sequence=32, mac="0" * 64, noted_ns=1).line())
    assert set(ledger.verify().faults) == {AuditFault.ANCHOR}


def test_without_anchors_the_deletion_of_the_last_entries_is_not_found(ledger: Ledger) -> None:
    """The reason to keep anchors elsewhere."""
    with ledger.tampering() as connection:
        connection.exec_driver_sql(
            f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.a}' AND sequence > 28"
        )
    assert verify(ledger.database, KEYS).ok
    assert not ledger.verify().ok


def test_a_truncated_last_anchor_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    whole = Anchor.sign(KEYS, chain="c", sequence=1, mac="m", noted_ns=1).line()
    path.write_bytes(whole + whole[:40])
    assert len(list(read_anchors(path))) == 1


def test_an_anchor_after_a_truncated_one_is_read(tmp_path: Path) -> None:
    path = tmp_path / "anchors.jsonl"
    first, second = (
        Anchor.sign(KEYS, chain="c", sequence=number, mac="m", noted_ns=1) for number in range(2)
    )
    path.write_bytes(first.line() + second.line()[:40])
    AnchorFile(path).note(second)
    assert list(read_anchors(path)) == [first, second]


@pytest.mark.parametrize("line", ['{"chain": 1}', "[]", "text", '{"chain":"c","sequence":"x"}'])
def test_an_invalid_anchor_is_an_error_with_its_line(tmp_path: Path, line: str) -> None:
    path = tmp_path / "anchors.jsonl"
    path.write_text(f"{line}\n")
    with pytest.raises(AuditError, match=r"anchors.jsonl, line 1: .*the file was changed"):
        list(read_anchors(path))
    with pytest.raises(AuditError, match=r"cannot be read: No such file"):
        list(read_anchors(tmp_path / "missing"))


def test_spooled_entries_are_not_reported_as_missing(tmp_path: Path) -> None:
    with kit(tmp_path, policy=changed(audit__mover__delay_ms=3_600_000.0)) as made:
        made.trail.record(AuditEvent(event_type="test"))
        assert made.trail.flush(60)
        receipt = made.trail.record(AuditEvent(event_type="test"))
        assert receipt is not None
        ahead = Anchor.sign(KEYS, chain=receipt.chain, sequence=receipt.sequence, mac=receipt.mac, noted_ns=1)
        assert verify(made.database, KEYS, anchors=[ahead], spool=made.folder).ok
        assert not verify(made.database, KEYS, anchors=[ahead]).ok


def test_an_unknown_key_is_reported_with_the_fix(ledger: Ledger) -> None:
    result = verify(
        ledger.database, AuditKeys(b"another key than that"), anchors=read_anchors(ledger.anchors)
    )
    reported = [one for one in result.findings if "add it to MITA_OTEL_AUDIT_OLD_KEYS" in one.message]
    chains = [one.chain for one in reported if one.fault is AuditFault.KEY]
    assert {*chains} >= {ledger.a, ledger.b, ledger.old}
    assert len(chains) == len({*chains}) == result.chains
    assert [one.fault for one in reported if one.fault is not AuditFault.KEY] == [
        AuditFault.ANCHOR,
        AuditFault.ERASURE,
    ]
    assert result.faults[AuditFault.KEY] == result.entries
    assert result.faults[AuditFault.ANCHOR] == result.anchors
    assert verify(ledger.database, AuditKeys(b"another key than that", [KEY.encode()])).ok


def test_unsigned_chains_are_accepted_only_on_request(tmp_path: Path) -> None:
    with kit(tmp_path, keys=AuditKeys(None)) as made:
        for _ in range(3):
            made.trail.record(AuditEvent(event_type="test", user_id="u1"))
        made.trail.close(60)
        anchors = made.anchors()
        assert verify(made.database, AuditKeys(None), anchors=anchors).ok
        strict = verify(made.database, KEYS)
        assert [str(one.fault) for one in strict.findings] == ["key"]
        lax = verify(made.database, KEYS, allow_unkeyed=True)
        assert lax.ok
        assert lax.unkeyed_chains == 1


def test_findings_are_bounded_and_counted(ledger: Ledger) -> None:
    with ledger.tampering() as connection:
        connection.exec_driver_sql(
            "UPDATE mita_audit_entries SET service = 'x', outcome = 'y', event_type = 'z'"
        )
    result = ledger.verify()
    assert result.faults[AuditFault.COLUMN] == 3 * result.entries
    assert result.as_dict()["ok"] is False
    assert len(result.findings) <= result.max_findings


def test_progress_is_reported(ledger: Ledger) -> None:
    reported: list[tuple[int, int]] = []
    ledger.verify(on_progress=lambda done, total: reported.append((done, total)))
    assert reported[-1] == (85, 85)


def copy_chain(ledger: Ledger, folder: Path, environment: str) -> str:
    """Put a chain of another environment, with the same key, into the ledger."""
    with kit(folder, environment=environment) as made:
        receipt = made.trail.record(AuditEvent(event_type="test"))
        assert receipt is not None
        assert made.trail.close(60)
        rows = made.rows(COLUMNS)
    names = [name.strip() for name in COLUMNS.split(",")]
    with ledger.database.write() as connection:
        for row in rows:
            put(connection, dict(zip(names, row, strict=True)))
    return receipt.chain


def test_a_chain_of_another_environment_with_the_same_key_is_reported(ledger: Ledger, tmp_path: Path) -> None:
    chain = copy_chain(ledger, tmp_path / "other", "staging")
    result = ledger.verify()
    assert [(one.fault, one.chain) for one in result.findings] == [(AuditFault.ORIGIN, chain)]
    assert "was written in the environment 'staging', not in test" in str(result.findings[0])
    assert ledger.verify(environments=["test", "staging"]).ok
    assert set(ledger.verify(environments=["staging"]).faults) == {AuditFault.ORIGIN}


SQLITE_ADDITIONS = [
    "CREATE TRIGGER extra BEFORE INSERT ON mita_audit_entries BEGIN SELECT RAISE(IGNORE); END",
    "CREATE TRIGGER extra AFTER UPDATE ON mita_legal_holds BEGIN SELECT 1; END",
    "CREATE TRIGGER extra AFTER INSERT ON mita_erased_subjects BEGIN DELETE FROM mita_erased_subjects; END",
]
POSTGRESQL_ADDITIONS = [
    "CREATE TRIGGER extra BEFORE INSERT ON mita_audit_entries FOR EACH ROW "
    "EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "CREATE TRIGGER mita_audit_entries_update BEFORE UPDATE ON mita_legal_holds FOR EACH ROW "
    "EXECUTE FUNCTION mita_audit_entry_changed()",
    "CREATE RULE extra AS ON INSERT TO mita_audit_entries WHERE NEW.sequence > 5 DO INSTEAD NOTHING",
    "ALTER TABLE mita_audit_entries ENABLE ROW LEVEL SECURITY",
    "CREATE TABLE aside () INHERITS (mita_audit_tombstones)",
]


@pytest.mark.parametrize("statement", [*SQLITE_ADDITIONS, *POSTGRESQL_ADDITIONS])
def test_objects_added_to_the_audit_tables_are_reported(ledger: Ledger, statement: str) -> None:
    ours = SQLITE_ADDITIONS if ledger.database.is_sqlite else POSTGRESQL_ADDITIONS
    if statement not in ours:
        pytest.skip("the other database's")
    with ledger.database.write() as connection:
        connection.exec_driver_sql(statement)
    result = ledger.verify()
    assert set(result.faults) == {AuditFault.TRIGGER}
    assert len(result.findings) == 1


@pytest.mark.parametrize("scope", ["DATABASE {database}", "ROLE CURRENT_USER", "ROLE CURRENT_USER IN DATABASE {database}"])  # fmt: skip
def test_a_replica_role_setting_is_reported(ledger: Ledger, scope: str) -> None:
    """The setting disables triggers without changing them."""
    if ledger.database.is_sqlite:
        pytest.skip("for PostgreSQL only")
    target = scope.format(database=ledger.database.url.database)
    with ledger.database.write() as connection:
        connection.exec_driver_sql(f"ALTER {target} SET session_replication_role = 'replica'")
    try:
        result = ledger.verify()
        assert set(result.faults) == {AuditFault.TRIGGER}
        assert all("session_replication_role" in one.message for one in result.findings)
    finally:
        with ledger.database.write() as connection:
            connection.exec_driver_sql(f"ALTER {target} RESET session_replication_role")
