"""Kinds of tampering within an entry: signed fields, columns, the personal part."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from audit.ledger_to_tamper import Ledger
from audit.tampering import AT_10, change, forged, put, row, sql, tampering
from mita_otel.audit.verification.findings import AuditFault

# --- signed fields -------------------------------------------------------------------------------
sql(
    "an_amount_is_changed",
    "UPDATE {t} SET body = replace(body, '\"amount\":8', '\"amount\":9') " + AT_10,
    AuditFault.CHANGED,
    at=[("a", 10)],
)
sql("a_blank_is_added", "UPDATE {t} SET body = body || ' ' " + AT_10, AuditFault.CHANGED, at=[("a", 10)])
sql("a_body_is_emptied", "UPDATE {t} SET body = '' " + AT_10, AuditFault.CHANGED, at=[("a", 10)])
sql(
    "a_body_is_another_kind_of_json",
    "UPDATE {t} SET body = '[1]' " + AT_10,
    AuditFault.CHANGED,
    at=[("a", 10)],
)
sql(
    "a_time_is_changed",
    "UPDATE {t} SET body = replace(body, '\"recorded_ns\":18', '\"recorded_ns\":17') " + AT_10,
    AuditFault.CHANGED,
    at=[("a", 10)],
)
sql(
    "the_host_is_changed",
    "UPDATE {t} SET body = replace(body, 'host-1', 'host-2') " + AT_10,
    AuditFault.CHANGED,
    at=[("a", 10)],
)
sql(
    "a_signature_is_changed",
    "UPDATE {t} SET mac = 'f' || substr(mac, 2, 62) || 'x' " + AT_10,
    AuditFault.CHANGED,
    at=[("a", 10)],
)
sql(
    "a_signature_is_written_in_capitals",
    "UPDATE {t} SET mac = upper(mac) " + AT_10,
    AuditFault.CHANGED,
    at=[("a", 10)],
)
sql("a_signature_is_emptied", "UPDATE {t} SET mac = '' " + AT_10, AuditFault.CHANGED, at=[("a", 10)])
sql(
    "the_first_entry_is_changed",
    "UPDATE {t} SET body = replace(body, 'audit_start', 'audit_begin') WHERE chain = '{a}' AND sequence = 0",
    AuditFault.CHANGED,
    at=[("a", 0)],
)
sql(
    "the_last_entry_is_changed",
    "UPDATE {t} SET body = replace(body, 'audit_stop', 'audit_halt') WHERE chain = '{a}' AND sequence = 32",
    AuditFault.CHANGED,
    at=[("a", 32)],
)
sql(
    "every_entry_is_changed",
    "UPDATE {t} SET body = replace(body, 'payments', 'purchase')",
    AuditFault.CHANGED,
    AuditFault.HOLD,
    at=[("a", 10), ("b", 10), ("old", 20)],
)
sql("a_key_is_renamed", "UPDATE {t} SET key_id = 'ffffffffffff' " + AT_10, AuditFault.KEY, at=[("a", 10)])


@tampering(AuditFault.KEY, at=[("a", 10)])
def an_entry_is_rewritten_without_a_key(connection: Connection, ledger: Ledger) -> None:
    before = row(connection, ledger.a, 9)
    new = forged(ledger.a, 10, before["mac"])
    connection.exec_driver_sql(f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.a}' AND sequence = 10")
    put(connection, {**new, "key_id": "unkeyed"})


# --- columns ------------------------------------------------------------------------
for column, value in (
    ("event_type", "'login'"), ("outcome", "'denied'"), ("service", "'other'"), ("resource_type", "'loan'"),
    ("resource_id", "'p-999'"), ("request_id", "NULL"), ("trace_id", "'0'"), ("recorded_ns", "recorded_ns - 1"),
):  # fmt: skip
    sql(
        f"the_column_{column}_is_changed",
        f"UPDATE {{t}} SET {column} = {value} {AT_10}",
        AuditFault.COLUMN,
        at=[("a", 10)],
    )
sql(
    "all_times_are_shifted",
    "UPDATE {t} SET recorded_ns = recorded_ns + 1000",
    AuditFault.COLUMN,
    at=[("a", 0), ("b", 32)],
)

# --- the personal part ----------------------------------------------------------------------------
sql(
    "a_user_is_changed_in_the_column",
    "UPDATE {t} SET user_id = 'user-9' " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "a_user_is_changed_everywhere",
    "UPDATE {t} SET user_id = 'user-9', personal = replace(personal, 'user-3', 'user-9') WHERE chain = '{b}' AND sequence = 5",
    AuditFault.PERSONAL,
    at=[("b", 5)],
)
sql(
    "a_user_is_taken_out_of_the_column",
    "UPDATE {t} SET user_id = NULL " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "the_key_of_a_person_is_changed",
    "UPDATE {t} SET personal_key = '00' || substr(personal_key, 3) || '' " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "the_key_of_a_person_is_no_key",
    "UPDATE {t} SET personal_key = 'zz' " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "the_key_of_a_person_is_removed",
    "UPDATE {t} SET personal_key = NULL " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "a_personal_part_is_no_json",
    "UPDATE {t} SET personal = '{{' " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "a_personal_part_is_removed",
    "UPDATE {t} SET user_id = NULL, personal = NULL, personal_key = NULL " + AT_10,
    AuditFault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "a_user_is_added_to_an_entry_without_one",
    "UPDATE {t} SET user_id = 'user-2' WHERE chain = '{a}' AND sequence = 0",
    AuditFault.PERSONAL,
    at=[("a", 0)],
)


@tampering(AuditFault.PERSONAL, at=[("a", 10)])
def the_personal_part_of_another_entry_is_copied(connection: Connection, ledger: Ledger) -> None:
    other = row(connection, ledger.a, 11)
    change(connection, ledger.a, 10, {name: other[name] for name in ("user_id", "personal", "personal_key")})


@tampering(AuditFault.PERSONAL, at=[("a", 10)])
def a_personal_part_is_sealed_again(connection: Connection, ledger: Ledger) -> None:
    change(
        connection, ledger.a, 10, {"user_id": "x", "personal": '{"user_id":"x"}', "personal_key": "00" * 16}
    )
