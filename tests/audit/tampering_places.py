"""Kinds of tampering: entries and chains are removed, added or moved."""

from __future__ import annotations

import hmac

from sqlalchemy.engine import Connection

from audit.ledger_to_tamper import Ledger
from audit.tampering import AT_10, COLUMNS, KEY_ID, REST, change, forged, put, row, sql, tampering
from mita_otel.audit.verification.findings import AuditFault

# --- removed --------------------------------------------------------------------------------------
sql(
    "the_first_entry_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence = 0",
    AuditFault.MISSING,
    at=[("a", 0)],
)
sql("an_entry_is_deleted", "DELETE FROM {t} " + AT_10, AuditFault.MISSING, at=[("a", 10)])
sql(
    "ten_entries_are_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence BETWEEN 10 AND 19",
    AuditFault.MISSING,
    AuditFault.ERASURE,
    at=[("a", 10)],
)
sql(
    "every_other_entry_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence % 2 = 1",
    AuditFault.MISSING,
    AuditFault.ERASURE,
    at=[("a", 1), ("a", 31)],
)
sql(
    "the_last_entry_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence = 32",
    AuditFault.MISSING,
    at=[("a", 32)],
)
sql(
    "the_last_ten_entries_are_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence > 22",
    AuditFault.MISSING,
    AuditFault.ERASURE,
    at=[("a", 23)],
)
sql(
    "a_chain_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}'",
    AuditFault.MISSING,
    AuditFault.ERASURE,
    at=[("a", 0)],
)
sql(
    "the_database_is_an_old_backup",
    "DELETE FROM {t} WHERE chain NOT IN ('{old}', '{a}')",
    AuditFault.MISSING,
    AuditFault.ERASURE,
    AuditFault.HOLD,
    at=[("b", 0)],
)
sql(
    "everything_is_deleted",
    "DELETE FROM {t}",
    AuditFault.MISSING,
    AuditFault.ERASURE,
    AuditFault.HOLD,
    at=[("a", 0), ("b", 0), ("old", 12)],
)
sql(
    "all_entries_of_a_person_are_deleted",
    "DELETE FROM {t} WHERE user_id = 'user-2'",
    AuditFault.MISSING,
    at=[("a", 4), ("b", 29)],
)

# --- added, moved ---------------------------------------------------------------------------------
sql(
    "an_entry_is_repeated_at_the_end",
    f"INSERT INTO {{t}} ({COLUMNS}) SELECT chain, 33, {REST} FROM {{t}} WHERE chain = '{{a}}' AND sequence = 5",
    AuditFault.MOVED,
    at=[("a", 33)],
)
sql(
    "an_entry_is_put_before_the_first",
    f"INSERT INTO {{t}} ({COLUMNS}) SELECT chain, -1, {REST} FROM {{t}} WHERE chain = '{{a}}' AND sequence = 5",
    AuditFault.MOVED,
    at=[("a", -1)],
)
sql(
    "a_chain_is_copied",
    f"INSERT INTO {{t}} ({COLUMNS}) SELECT 'f' || substr(chain, 2), sequence, {REST} FROM {{t}} WHERE chain = '{{a}}'",
    AuditFault.MOVED,
)
sql(
    "a_chain_is_renamed",
    "UPDATE {t} SET chain = 'f' || substr(chain, 2) WHERE chain = '{a}'",
    AuditFault.MOVED,
    AuditFault.MISSING,
)
sql(
    "an_entry_is_put_into_another_chain",
    "UPDATE {t} SET chain = '{b}', sequence = 33 " + AT_10,
    AuditFault.MOVED,
    AuditFault.MISSING,
    at=[("b", 33), ("a", 10)],
)
sql(
    "all_sequences_are_shifted",
    "UPDATE {t} SET sequence = -sequence - 1 WHERE chain = '{a}'",
    AuditFault.MOVED,
    AuditFault.MISSING,
)


@tampering(AuditFault.MOVED, at=[("a", 10), ("a", 11)])
def two_entries_change_places(connection: Connection, ledger: Ledger) -> None:
    for old, new in ((10, 1000), (11, 10), (1000, 11)):
        change(connection, ledger.a, old, {"sequence": new})


@tampering(AuditFault.MOVED, AuditFault.COLUMN, AuditFault.PERSONAL, at=[("a", 10), ("a", 20)])
def two_bodies_change_places(connection: Connection, ledger: Ledger) -> None:
    first, second = row(connection, ledger.a, 10), row(connection, ledger.a, 20)
    for sequence, other in ((10, second), (20, first)):
        change(connection, ledger.a, sequence, {"body": other["body"], "mac": other["mac"]})


@tampering(AuditFault.MOVED, at=[("a", 11)])
def an_entry_is_replaced_by_the_one_before(connection: Connection, ledger: Ledger) -> None:
    before = row(connection, ledger.a, 10)
    connection.exec_driver_sql(f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.a}' AND sequence = 11")
    put(connection, {**before, "sequence": 11})


@tampering(AuditFault.CHANGED, at=[("a", 33)])
def an_entry_is_added_without_the_key(connection: Connection, ledger: Ledger) -> None:
    last = row(connection, ledger.a, 32)
    put(connection, {**forged(ledger.a, 33, last["mac"]), "key_id": KEY_ID})


@tampering(AuditFault.CHANGED, AuditFault.MOVED, at=[("a", 10), ("a", 11), ("a", 33)])
def an_entry_is_inserted_between_two(connection: Connection, ledger: Ledger) -> None:
    for sequence in range(32, 9, -1):
        change(connection, ledger.a, sequence, {"sequence": sequence + 1})
    put(connection, {**forged(ledger.a, 10, row(connection, ledger.a, 9)["mac"]), "key_id": KEY_ID})


@tampering(AuditFault.KEY)
def a_chain_without_a_key_is_added(connection: Connection, ledger: Ledger) -> None:
    previous = hmac.digest(b"", b"mita-otel entry\0genesis forgedchain", "sha256").hex()
    for sequence in range(3):
        new = forged("forgedchain", sequence, previous)
        previous = new["mac"]
        put(connection, {**new, "key_id": "unkeyed"})


@tampering(AuditFault.CHANGED)
def a_chain_with_forged_signatures_is_added(connection: Connection, ledger: Ledger) -> None:
    put(connection, {**forged("forgedchain", 0, ""), "key_id": KEY_ID})
