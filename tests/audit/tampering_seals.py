"""Kinds of tampering with erasures, holds and tombstones."""

from __future__ import annotations

import json
from types import SimpleNamespace

from sqlalchemy.engine import Connection

from audit.ledger_to_tamper import Ledger
from audit.tampering import AT_10, KEY_ID, change, put, row, sql, tampering
from mita_otel.audit.canonical import AuditKeys, tombstone_message
from mita_otel.audit.verification.findings import AuditFault

# --- erasures -------------------------------------------------------------------------------------
ERASED = "user_id = NULL, personal = NULL, personal_key = NULL"
sql(
    "an_erasure_is_made_up",
    f"UPDATE {{t}} SET {ERASED}, erasure_id = 'person-1', erasure_mac = mac {AT_10}",
    AuditFault.ERASURE,
    at=[("a", 10)],
)
sql(
    "an_erasure_is_stretched",
    f"UPDATE {{t}} SET {ERASED}, erasure_id = '{{erasure}}', erasure_mac = mac {AT_10}",
    AuditFault.ERASURE,
    at=[("a", 10)],
)
sql(
    "an_erasure_is_copied",
    f"UPDATE {{t}} SET {ERASED}, erasure_id = '{{erasure}}', erasure_mac = (SELECT e.erasure_mac FROM mita_audit_entries e WHERE e.chain = '{{a}}' AND e.sequence = 3) {AT_10}",
    AuditFault.ERASURE,
    at=[("a", 10)],
)
sql(
    "an_erased_person_is_named_again",
    "UPDATE {t} SET user_id = 'user-1' WHERE chain = '{a}' AND sequence = 3",
    AuditFault.ERASURE,
    at=[("a", 3)],
)
sql(
    "an_erasure_is_taken_back_in_part",
    "UPDATE {t} SET erasure_id = NULL, erasure_mac = NULL WHERE chain = '{a}' AND sequence = 3",
    AuditFault.PERSONAL,
    AuditFault.ERASURE,
    at=[("a", 3), ("", None)],
)
sql(
    "the_reason_of_an_erasure_is_changed",
    "UPDATE mita_audit_erasures SET reason = 'because'",
    AuditFault.ERASURE,
    at=[("a", 3), ("", None)],
)
sql(
    "the_count_of_an_erasure_is_changed",
    "UPDATE mita_audit_erasures SET entries = entries - 1",
    AuditFault.ERASURE,
    at=[("a", 3), ("", None)],
)
sql(
    "the_digests_of_erased_persons_are_deleted",
    "DELETE FROM mita_erased_subjects",
    AuditFault.ERASURE,
    at=[("", None)],
)
sql(
    "the_time_of_a_digest_is_changed",
    "UPDATE mita_erased_subjects SET erased_ns = 1",
    AuditFault.ERASURE,
    at=[("", None)],
)
sql(
    "the_digest_of_an_erased_person_is_changed",
    "UPDATE mita_erased_subjects SET subject = replace(subject, substr(subject, 1, 4), 'abcd')",
    AuditFault.ERASURE,
    at=[("", None)],
)
sql(
    "a_digest_is_made_up",
    "INSERT INTO mita_erased_subjects (erasure_id, subject, erased_ns, key_id) "
    "SELECT 'person-1', subject, erased_ns, key_id FROM mita_erased_subjects",
    AuditFault.ERASURE,
    at=[("", None)],
)
sql("the_time_of_an_erasure_is_changed", "UPDATE mita_audit_erasures SET erased_ns = 1", AuditFault.ERASURE)
sql("an_erasure_is_deleted", "DELETE FROM mita_audit_erasures", AuditFault.ERASURE, at=[("a", 3), ("", None)])


@tampering(AuditFault.ERASURE, at=[("", None), ("a", 10)])
def an_erasure_is_forged(connection: Connection, ledger: Ledger) -> None:
    fields = {
        "id": "person-1",
        "erased_ns": 1,
        "entries": 1,
        "reason": "",
        "key_id": KEY_ID,
        "mac": "00" * 32,
    }
    put(connection, fields, "mita_audit_erasures")
    erased = {
        "user_id": None,
        "personal": None,
        "personal_key": None,
        "erasure_id": "person-1",
        "erasure_mac": "00" * 32,
    }
    change(connection, ledger.a, 10, erased)


RESTORED = [("a", number) for number in range(3, 33, 5)]


def restore(connection: Connection, ledger: Ledger) -> None:
    """Restore the rows of a backup from before the erasure."""
    before = json.loads((ledger.anchors.parent / "backup.json").read_text())
    for chain, sequence, user_id, personal, personal_key in before:
        fields = {
            "user_id": user_id,
            "personal": personal,
            "personal_key": personal_key,
            "erasure_id": None,
            "erasure_mac": None,
        }
        change(connection, chain, sequence, fields)


@tampering(AuditFault.ERASURE, at=[*RESTORED, ("", None)])
def erased_entries_are_restored_from_a_backup(connection: Connection, ledger: Ledger) -> None:
    restore(connection, ledger)


@tampering(AuditFault.ERASURE, at=[("", None)])
def erased_entries_and_the_records_of_their_erasure_are_restored(
    connection: Connection, ledger: Ledger
) -> None:
    restore(connection, ledger)
    connection.exec_driver_sql("DELETE FROM mita_audit_erasures")
    connection.exec_driver_sql("DELETE FROM mita_erased_subjects")


# --- legal holds ----------------------------------------------------------------------------------
for column, value in (
    ("reason", "'none'"), ("created_by", "'x'"), ("created_ns", "1"), ("data_class", "'debug'"), ("user_id", "'x'"),
    ("from_ns", "2"), ("until_ns", "3"), ("released_ns", "4"),
):  # fmt: skip
    sql(
        f"the_{column}_of_a_hold_is_changed",
        f"UPDATE mita_legal_holds SET {column} = {value} WHERE released_ns IS NULL",
        AuditFault.HOLD,
        at=[("", None)],
    )
for column, value in (
    ("released_ns", "5"),
    ("released_by", "'x'"),
    ("reason", "'none'"),
    ("created_by", "'x'"),
):
    sql(
        f"the_{column}_of_a_released_hold_is_changed",
        f"UPDATE mita_legal_holds SET {column} = {value} WHERE released_ns IS NOT NULL",
        AuditFault.HOLD,
        at=[("", None)],
    )
sql(
    "a_released_hold_is_put_in_force_again",
    "UPDATE mita_legal_holds SET released_ns = NULL, released_by = NULL WHERE released_ns IS NOT NULL",
    AuditFault.HOLD,
    at=[("", None)],
)
sql(
    "a_released_hold_is_deleted",
    "DELETE FROM mita_legal_holds WHERE released_ns IS NOT NULL",
    AuditFault.HOLD,
    at=[("", None)],
)
for name, created_ns in (("new", "1900000000000000000"), ("old", "1")):
    sql(
        f"a_hold_is_made_up_as_if_it_were_{name}",
        "INSERT INTO mita_legal_holds (id, created_ns, created_by, reason) "
        f"VALUES ('hold-1', {created_ns}, 'counsel', 'case 7')",
        AuditFault.HOLD,
        at=[("", None)],
    )


# --- tombstones -----------------------------------------------------------------------------------
def tombstone(connection: Connection, ledger: Ledger, key_id: str, mac: str) -> None:
    last = row(connection, ledger.b, 9)
    connection.exec_driver_sql(f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.b}' AND sequence <= 9")
    fields = {
        "chain": ledger.b, "first_sequence": 0, "last_sequence": 9, "previous": "0" * 64, "last_mac": last["mac"],
        "first_recorded_ns": 1, "last_recorded_ns": 2, "purged_ns": 3, "reason": "time", "key_id": key_id, "mac": mac,
    }  # fmt: skip
    put(connection, fields, "mita_audit_tombstones")


@tampering(AuditFault.TOMBSTONE, AuditFault.MISSING, AuditFault.ERASURE, at=[("b", 0)])
def entries_are_deleted_behind_a_forged_tombstone(connection: Connection, ledger: Ledger) -> None:
    tombstone(connection, ledger, KEY_ID, "0" * 64)


@tampering(AuditFault.TOMBSTONE, AuditFault.MISSING, AuditFault.ERASURE, at=[("b", 0)])
def entries_are_deleted_behind_a_tombstone_without_a_key(connection: Connection, ledger: Ledger) -> None:
    tombstone(connection, ledger, "unkeyed", "")
    found = connection.exec_driver_sql(
        f"SELECT * FROM mita_audit_tombstones WHERE chain = '{ledger.b}'"
    ).one()
    mac = AuditKeys(None).sign("tombstone", tombstone_message(SimpleNamespace(**found._mapping)))
    connection.exec_driver_sql(f"UPDATE mita_audit_tombstones SET mac = '{mac}' WHERE chain = '{ledger.b}'")


sql(
    "a_tombstone_is_stretched",
    "UPDATE mita_audit_tombstones SET last_sequence = last_sequence + 3",
    AuditFault.TOMBSTONE,
    AuditFault.MISSING,
    at=[("old", 0)],
)
sql("a_tombstone_is_deleted", "DELETE FROM mita_audit_tombstones", AuditFault.MISSING, at=[("old", 0)])
sql(
    "the_reason_of_a_tombstone_is_changed",
    "UPDATE mita_audit_tombstones SET reason = 'none'",
    AuditFault.TOMBSTONE,
    AuditFault.MISSING,
    at=[("old", 0)],
)
sql(
    "a_tombstone_is_put_into_another_chain",
    "UPDATE mita_audit_tombstones SET chain = '{b}'",
    AuditFault.TOMBSTONE,
    AuditFault.MISSING,
    at=[("b", 0), ("old", 0)],
)
sql(
    "what_follows_a_tombstone_is_deleted",
    "DELETE FROM {t} WHERE chain = '{old}' AND sequence = 12",
    AuditFault.MISSING,
    at=[("old", 12)],
)
