"""Legal holds have a reason, end only by release, and are audited."""

from __future__ import annotations

from pathlib import Path

import pytest

from audit.kit import KEY
from audit.retention.kit import NOW_NS, store
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.retention.apply import RetentionError
from mita_otel.audit.retention.holds import LegalHoldError
from mita_otel.audit.verification.findings import AuditFault
from mita_otel.audit.verification.verify import verify
from mita_otel.store.append_only import sqlite_triggers


def test_placing_and_releasing_a_hold_are_audited(tmp_path: Path, database_url: str) -> None:
    with store(tmp_path, database_url) as kept:
        kept.kit.ledger.add([])
        hold = kept.holds.place(reason="case 7", by="counsel", data_class="audit", from_ns=NOW_NS)
        assert kept.holds.all() == [hold]
        kept.holds.release(hold.id, by="judge")
        assert kept.holds.all() == []
        [released] = kept.holds.all(released=True)
        assert (released.released_by, released.released_ns) == ("judge", NOW_NS)
        assert kept.kit.trail.flush(60)
        assert kept.kit.rows("event_type, user_id, resource_id", "resource_type = 'legal_hold'") == [
            ("legal_hold_create", "counsel", hold.id),
            ("legal_hold_release", "judge", hold.id),
        ]


@pytest.mark.parametrize(
    ("statement", "problem"),
    [
        ("DELETE FROM mita_legal_holds", "was removed, and no entry releases it"),
        (f"UPDATE mita_legal_holds SET released_ns = {NOW_NS}, released_by = 'x'", "is marked as released, but no entry releases it"),
        ("UPDATE mita_legal_holds SET user_id = 'u2'", "differs from its entry"),
        ("UPDATE mita_legal_holds SET until_ns = 1", "differs from its entry"),
        ("UPDATE mita_legal_holds SET data_class = 'debug'", "differs from its entry"),
    ],
)  # fmt: skip
def test_a_tampered_hold_stops_retention(
    tmp_path: Path, database_url: str, statement: str, problem: str
) -> None:
    with store(tmp_path, database_url) as kept:
        kept.kit.ledger.add([])
        hold = kept.holds.place(reason="case 7", by="counsel", user_id="u1")
        other = kept.holds.place(reason="case 8", by="counsel")
        kept.holds.release(other.id, by="counsel")
        with kept.kit.database.write() as connection:
            if kept.kit.database.is_sqlite:
                connection.exec_driver_sql("DROP TRIGGER mita_legal_holds_delete")
            else:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            connection.exec_driver_sql(f"{statement} WHERE id = '{hold.id}'")
            if kept.kit.database.is_sqlite:
                connection.exec_driver_sql(sqlite_triggers()["mita_legal_holds_delete"])
        result = verify(kept.kit.database, kept.kit.keys)
        assert [(one.fault, hold.id in one.message, problem in one.message) for one in result.findings] == [
            (AuditFault.HOLD, True, True)
        ]
        with pytest.raises(RetentionError, match=f"nothing was deleted: .*{hold.id}.*Place the hold again"):
            kept.retention.apply(trust_clock=True)
        kept.holds.place(reason="case 7, again", by="counsel", user_id="u1")
        kept.holds.release(hold.id, by="counsel")
        assert verify(kept.kit.database, kept.kit.keys).ok
        kept.retention.apply(trust_clock=True)


def test_a_forged_hold_stops_retention_until_it_is_released(tmp_path: Path, database_url: str) -> None:
    with store(tmp_path, database_url) as kept:
        kept.kit.ledger.add([])
        with kept.kit.database.write() as connection:
            connection.exec_driver_sql(
                "INSERT INTO mita_legal_holds (id, created_ns, created_by, reason) VALUES ('hold-1', 1, 'x', 'y')"
            )
        with pytest.raises(RetentionError, match="the legal hold hold-1 was made up: no entry places it"):
            kept.retention.apply(trust_clock=True)
        kept.holds.release("hold-1", by="counsel")
        assert verify(kept.kit.database, kept.kit.keys).ok
        kept.retention.apply(trust_clock=True)


def test_the_entry_of_an_active_hold_is_not_purged(tmp_path: Path, database_url: str) -> None:
    with store(tmp_path, database_url) as kept:
        kept.set_clock(-3000)
        chain = kept.record(3)
        hold = kept.holds.place(reason="case 7", by="counsel", data_class="errors")
        kept.end_chain()
        kept.set_clock(0)
        kept.retention.apply(trust_clock=True)
        assert kept.kit.rows("resource_id", f"chain = '{chain}'") == [(hold.id,)]
        assert verify(kept.kit.database, kept.kit.keys).ok
        kept.holds.release(hold.id, by="judge")
        kept.retention.apply(trust_clock=True)
        assert kept.kit.rows("resource_id", f"chain = '{chain}'") == []
        assert verify(kept.kit.database, kept.kit.keys).ok


def test_a_hold_verifies_after_a_key_rotation_and_an_erasure(tmp_path: Path, database_url: str) -> None:
    with store(tmp_path, database_url) as kept:
        kept.kit.ledger.add([])
        kept.holds.place(reason="case 7", by="counsel", user_id="u1")
        kept.end_chain()
        hold = kept.holds.place(reason="case 8", by="counsel", user_id="u2")
        kept.holds.release(hold.id, by="counsel")
        kept.subjects.erase("u2", reason="asked")
        kept.end_chain()
        rotated = AuditKeys(b"another key that only this test knows", [KEY.encode()])
        assert verify(kept.kit.database, rotated).ok


def test_an_invalid_hold_is_refused_with_the_reason(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.kit.ledger.add([])
        with pytest.raises(LegalHoldError, match=r"'logs' is not a data class; use one of audit, errors"):
            kept.holds.place(reason="case 7", by="counsel", data_class="logs")
        with pytest.raises(LegalHoldError, match=r"needs a reason"):
            kept.holds.place(reason=" ", by="counsel")
        with pytest.raises(LegalHoldError, match=r"there is no legal hold hold-1"):
            kept.holds.release("hold-1", by="counsel")
        hold = kept.holds.place(reason="case 7", by="counsel")
        kept.holds.release(hold.id, by="counsel")
        with pytest.raises(LegalHoldError, match=r"already released by counsel"):
            kept.holds.release(hold.id, by="counsel")


def test_the_entry_of_a_hold_does_not_name_the_person(tmp_path: Path) -> None:
    with store(tmp_path) as kept:
        kept.kit.ledger.add([])
        kept.holds.place(reason="case 7", by="counsel", user_id="u1")
        assert kept.kit.trail.flush(60)
        assert all('"u1"' not in body for (body,) in kept.kit.rows("body || coalesce(personal, '')"))
