"""Fifty kinds of tampering, on both databases, by somebody who may do anything but has no key: each is found."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy.engine import Connection

from audit.ledger_to_tamper import Ledger
from mita_otel.audit.findings import Fault
from mita_otel.audit.keys import AuditKeys

COLUMNS = (
    "chain, sequence, recorded_ns, event_type, outcome, service, user_id, resource_type, resource_id, request_id, "
    "trace_id, body, mac, key_id, personal, personal_key, erasure_id, erasure_mac"
)
_REST = COLUMNS.removeprefix("chain, sequence, ")


@dataclass(frozen=True)
class Tampering:
    """What somebody does, and what is said about it."""

    name: str
    act: Callable[[Connection, Ledger], None]
    faults: frozenset[Fault]
    """All faults that are reported, and no other."""
    where: frozenset[tuple[str, int | None]]
    """Which entries are named: letter of the chain and sequence. Empty: whatever is said about it."""


TAMPERINGS: list[Tampering] = []


def tampering(
    *faults: Fault, at: list[tuple[str, int | None]] | None = None
) -> Callable[[Callable[[Connection, Ledger], None]], None]:
    def add(act: Callable[[Connection, Ledger], None]) -> None:
        TAMPERINGS.append(Tampering(act.__name__, act, frozenset(faults), frozenset(at or ())))

    return add


def sql(name: str, statement: str, *faults: Fault, at: list[tuple[str, int | None]] | None = None) -> None:
    """Add a tampering of one statement; `{a}`, `{b}` and `{old}` are chains, `{t}` is the table."""

    def act(connection: Connection, ledger: Ledger) -> None:
        text = statement.format(t="mita_audit_entries", **chains(ledger), erasure=ledger.erasure)
        changed = connection.exec_driver_sql(text if ledger.database.is_sqlite else text.replace("%", "%%"))
        assert changed.rowcount != 0, "nothing was tampered with"

    act.__name__ = name
    tampering(*faults, at=at)(act)


def chains(ledger: Ledger) -> dict[str, str]:
    return {"a": ledger.a, "b": ledger.b, "old": ledger.old}


def row(connection: Connection, chain: str, sequence: int) -> dict[str, Any]:
    found = connection.exec_driver_sql(
        f"SELECT {COLUMNS} FROM mita_audit_entries WHERE chain = '{chain}' AND sequence = {sequence}"
    ).one()
    return dict(found._mapping)


def put(connection: Connection, fields: dict[str, Any], table: str = "mita_audit_entries") -> None:
    names = ", ".join(fields)
    marks = ", ".join(f":{name}" for name in fields)
    from sqlalchemy import text

    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), fields)


def forged(chain: str, sequence: int, previous: str, **fields: Any) -> dict[str, Any]:
    """Return an entry as somebody writes it who knows everything but the key."""
    content = {
        "v": 1, "chain": chain, "sequence": sequence, "previous": previous, "recorded_ns": 1_900_000_000 * 10**9,
        "type": "data_access", "outcome": "success", "service": "payments", "host": "h", "environment": "test",
        "process": 1, **fields,
    }  # fmt: skip
    body = json.dumps(content, sort_keys=True, separators=(",", ":"))
    mac = hmac.digest(b"", b"mita-otel entry\0" + body.encode(), "sha256").hex()
    return {
        "chain": chain, "sequence": sequence, "recorded_ns": content["recorded_ns"], "event_type": content["type"],
        "outcome": "success", "service": "payments", "body": body, "mac": mac,
    }  # fmt: skip


KEY_ID = AuditKeys(b"a key that only these tests know").current_id

# --- what is signed ----------------------------------------------------------------------------------
AT_10 = "WHERE chain = '{a}' AND sequence = 10"
sql(
    "an_amount_is_changed",
    "UPDATE {t} SET body = replace(body, '\"amount\":8', '\"amount\":9') " + AT_10,
    Fault.CHANGED,
    at=[("a", 10)],
)
sql("a_blank_is_added", "UPDATE {t} SET body = body || ' ' " + AT_10, Fault.CHANGED, at=[("a", 10)])
sql("a_body_is_emptied", "UPDATE {t} SET body = '' " + AT_10, Fault.CHANGED, at=[("a", 10)])
sql("a_body_is_another_kind_of_json", "UPDATE {t} SET body = '[1]' " + AT_10, Fault.CHANGED, at=[("a", 10)])
sql(
    "a_time_is_changed",
    "UPDATE {t} SET body = replace(body, '\"recorded_ns\":18', '\"recorded_ns\":17') " + AT_10,
    Fault.CHANGED,
    at=[("a", 10)],
)
sql(
    "the_host_is_changed",
    "UPDATE {t} SET body = replace(body, 'host-1', 'host-2') " + AT_10,
    Fault.CHANGED,
    at=[("a", 10)],
)
sql(
    "a_signature_is_changed",
    "UPDATE {t} SET mac = 'f' || substr(mac, 2, 62) || 'x' " + AT_10,
    Fault.CHANGED,
    at=[("a", 10)],
)
sql(
    "a_signature_is_written_in_capitals",
    "UPDATE {t} SET mac = upper(mac) " + AT_10,
    Fault.CHANGED,
    at=[("a", 10)],
)
sql("a_signature_is_emptied", "UPDATE {t} SET mac = '' " + AT_10, Fault.CHANGED, at=[("a", 10)])
sql(
    "the_first_entry_is_changed",
    "UPDATE {t} SET body = replace(body, 'audit_start', 'audit_begin') WHERE chain = '{a}' AND sequence = 0",
    Fault.CHANGED,
    at=[("a", 0)],
)
sql(
    "the_last_entry_is_changed",
    "UPDATE {t} SET body = replace(body, 'audit_stop', 'audit_halt') WHERE chain = '{a}' AND sequence = 32",
    Fault.CHANGED,
    at=[("a", 32)],
)
sql(
    "every_entry_is_changed",
    "UPDATE {t} SET body = replace(body, 'payments', 'purchase')",
    Fault.CHANGED,
    at=[("a", 10), ("b", 10), ("old", 20)],
)
sql("a_key_is_renamed", "UPDATE {t} SET key_id = 'ffffffffffff' " + AT_10, Fault.KEY, at=[("a", 10)])


@tampering(Fault.KEY, at=[("a", 10)])
def an_entry_is_written_anew_without_a_key(connection: Connection, ledger: Ledger) -> None:
    before = row(connection, ledger.a, 9)
    new = forged(ledger.a, 10, before["mac"])
    connection.exec_driver_sql(f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.a}' AND sequence = 10")
    put(connection, {**new, "key_id": "unkeyed"})


# --- the columns beside it ---------------------------------------------------------------------------
for column, value in (
    ("event_type", "'login'"), ("outcome", "'denied'"), ("service", "'other'"), ("resource_type", "'loan'"),
    ("resource_id", "'p-999'"), ("request_id", "NULL"), ("trace_id", "'0'"), ("recorded_ns", "recorded_ns - 1"),
):  # fmt: skip
    sql(
        f"the_column_{column}_is_changed",
        f"UPDATE {{t}} SET {column} = {value} {AT_10}",
        Fault.COLUMN,
        at=[("a", 10)],
    )
sql(
    "all_times_are_shifted",
    "UPDATE {t} SET recorded_ns = recorded_ns + 1000",
    Fault.COLUMN,
    at=[("a", 0), ("b", 32)],
)

# --- the personal part -------------------------------------------------------------------------------
sql(
    "a_user_is_changed_in_the_column",
    "UPDATE {t} SET user_id = 'user-9' " + AT_10,
    Fault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "a_user_is_changed_everywhere",
    "UPDATE {t} SET user_id = 'user-9', personal = replace(personal, 'user-3', 'user-9') WHERE chain = '{b}' AND sequence = 5",
    Fault.PERSONAL,
    at=[("b", 5)],
)
sql(
    "a_user_is_taken_out_of_the_column",
    "UPDATE {t} SET user_id = NULL " + AT_10,
    Fault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "the_key_of_a_person_is_changed",
    "UPDATE {t} SET personal_key = '00' || substr(personal_key, 3) || '' " + AT_10,
    Fault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "the_key_of_a_person_is_no_key",
    "UPDATE {t} SET personal_key = 'zz' " + AT_10,
    Fault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "the_key_of_a_person_is_removed",
    "UPDATE {t} SET personal_key = NULL " + AT_10,
    Fault.PERSONAL,
    at=[("a", 10)],
)
sql("a_personal_part_is_no_json", "UPDATE {t} SET personal = '{{' " + AT_10, Fault.PERSONAL, at=[("a", 10)])
sql(
    "a_personal_part_is_removed",
    "UPDATE {t} SET user_id = NULL, personal = NULL, personal_key = NULL " + AT_10,
    Fault.PERSONAL,
    at=[("a", 10)],
)
sql(
    "a_user_is_added_to_an_entry_without_one",
    "UPDATE {t} SET user_id = 'user-1' WHERE chain = '{a}' AND sequence = 0",
    Fault.PERSONAL,
    at=[("a", 0)],
)


@tampering(Fault.PERSONAL, at=[("a", 10)])
def another_persons_part_is_put_in_place(connection: Connection, ledger: Ledger) -> None:
    other = row(connection, ledger.a, 11)
    change(connection, ledger.a, 10, {name: other[name] for name in ("user_id", "personal", "personal_key")})


@tampering(Fault.PERSONAL, at=[("a", 10)])
def a_personal_part_is_sealed_anew(connection: Connection, ledger: Ledger) -> None:
    change(
        connection, ledger.a, 10, {"user_id": "x", "personal": '{"user_id":"x"}', "personal_key": "00" * 16}
    )


def change(connection: Connection, chain: str, sequence: int, fields: dict[str, Any]) -> None:
    from sqlalchemy import text

    names = ", ".join(f"{name} = :{name}" for name in fields)
    statement = f"UPDATE mita_audit_entries SET {names} WHERE chain = '{chain}' AND sequence = {sequence}"
    assert connection.execute(text(statement), fields).rowcount == 1


# --- removed -----------------------------------------------------------------------------------------
sql(
    "the_first_entry_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence = 0",
    Fault.MISSING,
    at=[("a", 0)],
)
sql("an_entry_is_deleted", "DELETE FROM {t} " + AT_10, Fault.MISSING, at=[("a", 10)])
sql(
    "ten_entries_are_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence BETWEEN 10 AND 19",
    Fault.MISSING,
    at=[("a", 10)],
)
sql(
    "every_other_entry_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence % 2 = 1",
    Fault.MISSING,
    at=[("a", 1), ("a", 31)],
)
sql(
    "the_last_entry_is_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence = 32",
    Fault.MISSING,
    at=[("a", 32)],
)
sql(
    "the_last_ten_are_deleted",
    "DELETE FROM {t} WHERE chain = '{a}' AND sequence > 22",
    Fault.MISSING,
    at=[("a", 23)],
)
sql("a_chain_is_deleted", "DELETE FROM {t} WHERE chain = '{a}'", Fault.MISSING, at=[("a", 0)])
sql(
    "the_database_is_an_old_backup",
    "DELETE FROM {t} WHERE chain NOT IN ('{old}', '{a}')",
    Fault.MISSING,
    at=[("b", 0)],
)
sql("everything_is_deleted", "DELETE FROM {t}", Fault.MISSING, at=[("a", 0), ("b", 0), ("old", 12)])
sql(
    "all_entries_of_a_person_are_deleted",
    "DELETE FROM {t} WHERE user_id = 'user-2'",
    Fault.MISSING,
    at=[("a", 4), ("b", 29)],
)

# --- added, moved ------------------------------------------------------------------------------------
sql(
    "an_entry_is_repeated_at_the_end",
    f"INSERT INTO {{t}} ({COLUMNS}) SELECT chain, 33, {_REST} FROM {{t}} WHERE chain = '{{a}}' AND sequence = 5",
    Fault.MOVED,
    at=[("a", 33)],
)
sql(
    "an_entry_is_put_before_the_first",
    f"INSERT INTO {{t}} ({COLUMNS}) SELECT chain, -1, {_REST} FROM {{t}} WHERE chain = '{{a}}' AND sequence = 5",
    Fault.MOVED,
    at=[("a", -1)],
)
sql(
    "a_chain_is_copied",
    f"INSERT INTO {{t}} ({COLUMNS}) SELECT 'f' || substr(chain, 2), sequence, {_REST} FROM {{t}} WHERE chain = '{{a}}'",
    Fault.MOVED,
)
sql(
    "a_chain_is_renamed",
    "UPDATE {t} SET chain = 'f' || substr(chain, 2) WHERE chain = '{a}'",
    Fault.MOVED,
    Fault.MISSING,
)
sql(
    "an_entry_is_put_into_another_chain",
    "UPDATE {t} SET chain = '{b}', sequence = 33 " + AT_10,
    Fault.MOVED,
    Fault.MISSING,
    at=[("b", 33), ("a", 10)],
)
sql(
    "all_sequences_are_shifted",
    "UPDATE {t} SET sequence = -sequence - 1 WHERE chain = '{a}'",
    Fault.MOVED,
    Fault.MISSING,
)


@tampering(Fault.MOVED, at=[("a", 10), ("a", 11)])
def two_entries_change_places(connection: Connection, ledger: Ledger) -> None:
    for old, new in ((10, 1000), (11, 10), (1000, 11)):
        change(connection, ledger.a, old, {"sequence": new})


@tampering(Fault.MOVED, Fault.COLUMN, Fault.PERSONAL, at=[("a", 10), ("a", 20)])
def two_bodies_change_places(connection: Connection, ledger: Ledger) -> None:
    first, second = row(connection, ledger.a, 10), row(connection, ledger.a, 20)
    for sequence, other in ((10, second), (20, first)):
        change(connection, ledger.a, sequence, {"body": other["body"], "mac": other["mac"]})


@tampering(Fault.MOVED, at=[("a", 11)])
def an_entry_is_replaced_by_the_one_before(connection: Connection, ledger: Ledger) -> None:
    before = row(connection, ledger.a, 10)
    connection.exec_driver_sql(f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.a}' AND sequence = 11")
    put(connection, {**before, "sequence": 11})


@tampering(Fault.CHANGED, at=[("a", 33)])
def an_entry_is_added_without_the_key(connection: Connection, ledger: Ledger) -> None:
    last = row(connection, ledger.a, 32)
    put(connection, {**forged(ledger.a, 33, last["mac"]), "key_id": KEY_ID})


@tampering(Fault.CHANGED, Fault.MOVED, at=[("a", 10), ("a", 11), ("a", 33)])
def an_entry_is_squeezed_in(connection: Connection, ledger: Ledger) -> None:
    for sequence in range(32, 9, -1):
        change(connection, ledger.a, sequence, {"sequence": sequence + 1})
    put(connection, {**forged(ledger.a, 10, row(connection, ledger.a, 9)["mac"]), "key_id": KEY_ID})


@tampering(Fault.KEY)
def a_chain_without_a_key_is_added(connection: Connection, ledger: Ledger) -> None:
    previous = hmac.digest(b"", b"mita-otel entry\0genesis forgedchain", "sha256").hex()
    for sequence in range(3):
        new = forged("forgedchain", sequence, previous)
        previous = new["mac"]
        put(connection, {**new, "key_id": "unkeyed"})


@tampering(Fault.CHANGED)
def a_chain_with_made_up_signatures_is_added(connection: Connection, ledger: Ledger) -> None:
    put(connection, {**forged("forgedchain", 0, ""), "key_id": KEY_ID})


# --- erasures ----------------------------------------------------------------------------------------
ERASED = "user_id = NULL, personal = NULL, personal_key = NULL"
sql(
    "an_erasure_is_made_up",
    f"UPDATE {{t}} SET {ERASED}, erasure_id = 'person-1', erasure_mac = mac {AT_10}",
    Fault.ERASURE,
    at=[("a", 10)],
)
sql(
    "an_erasure_is_stretched",
    f"UPDATE {{t}} SET {ERASED}, erasure_id = '{{erasure}}', erasure_mac = mac {AT_10}",
    Fault.ERASURE,
    at=[("a", 10)],
)
sql(
    "an_erasure_is_copied",
    f"UPDATE {{t}} SET {ERASED}, erasure_id = '{{erasure}}', erasure_mac = (SELECT e.erasure_mac FROM mita_audit_entries e WHERE e.chain = '{{a}}' AND e.sequence = 3) {AT_10}",
    Fault.ERASURE,
    at=[("a", 10)],
)
sql(
    "an_erased_person_is_named_again",
    "UPDATE {t} SET user_id = 'user-1' WHERE chain = '{a}' AND sequence = 3",
    Fault.ERASURE,
    at=[("a", 3)],
)
sql(
    "an_erasure_is_taken_back_in_part",
    "UPDATE {t} SET erasure_id = NULL, erasure_mac = NULL WHERE chain = '{a}' AND sequence = 3",
    Fault.PERSONAL,
    at=[("a", 3)],
)
sql(
    "the_reason_of_an_erasure_is_changed",
    "UPDATE mita_audit_erasures SET reason = 'because'",
    Fault.ERASURE,
    at=[("a", 3), ("", None)],
)
sql("the_time_of_an_erasure_is_changed", "UPDATE mita_audit_erasures SET erased_ns = 1", Fault.ERASURE)
sql("an_erasure_is_deleted", "DELETE FROM mita_audit_erasures", Fault.ERASURE, at=[("a", 3)])


@tampering(Fault.ERASURE, at=[("", None), ("a", 10)])
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


# --- tombstones --------------------------------------------------------------------------------------
def tombstone(connection: Connection, ledger: Ledger, key_id: str, mac: str) -> None:
    last = row(connection, ledger.b, 9)
    connection.exec_driver_sql(f"DELETE FROM mita_audit_entries WHERE chain = '{ledger.b}' AND sequence <= 9")
    fields = {
        "chain": ledger.b, "first_sequence": 0, "last_sequence": 9, "previous": "0" * 64, "last_mac": last["mac"],
        "first_recorded_ns": 1, "last_recorded_ns": 2, "purged_ns": 3, "reason": "time", "key_id": key_id, "mac": mac,
    }  # fmt: skip
    put(connection, fields, "mita_audit_tombstones")


@tampering(Fault.TOMBSTONE, Fault.MISSING, at=[("b", 0)])
def entries_are_deleted_behind_a_forged_tombstone(connection: Connection, ledger: Ledger) -> None:
    tombstone(connection, ledger, KEY_ID, "0" * 64)


@tampering(Fault.TOMBSTONE, Fault.MISSING, at=[("b", 0)])
def entries_are_deleted_behind_a_tombstone_without_a_key(connection: Connection, ledger: Ledger) -> None:
    from types import SimpleNamespace

    from mita_otel.audit.seals import tombstone_message

    tombstone(connection, ledger, "unkeyed", "")
    found = connection.exec_driver_sql(
        f"SELECT * FROM mita_audit_tombstones WHERE chain = '{ledger.b}'"
    ).one()
    mac = AuditKeys(None).sign("tombstone", tombstone_message(SimpleNamespace(**found._mapping)))
    connection.exec_driver_sql(f"UPDATE mita_audit_tombstones SET mac = '{mac}' WHERE chain = '{ledger.b}'")


sql(
    "a_tombstone_is_stretched",
    "UPDATE mita_audit_tombstones SET last_sequence = last_sequence + 3",
    Fault.TOMBSTONE,
    Fault.MISSING,
    at=[("old", 0)],
)
sql("a_tombstone_is_deleted", "DELETE FROM mita_audit_tombstones", Fault.MISSING, at=[("old", 0)])
sql(
    "the_reason_of_a_tombstone_is_changed",
    "UPDATE mita_audit_tombstones SET reason = 'none'",
    Fault.TOMBSTONE,
    Fault.MISSING,
    at=[("old", 0)],
)
sql(
    "a_tombstone_is_put_into_another_chain",
    "UPDATE mita_audit_tombstones SET chain = '{b}'",
    Fault.TOMBSTONE,
    Fault.MISSING,
    at=[("b", 0), ("old", 0)],
)
sql(
    "what_follows_a_tombstone_is_deleted",
    "DELETE FROM {t} WHERE chain = '{old}' AND sequence = 12",
    Fault.MISSING,
    at=[("old", 12)],
)


@pytest.mark.parametrize("tampering", TAMPERINGS, ids=lambda one: one.name)
def test_a_tampering_is_found_and_named(ledger: Ledger, tampering: Tampering) -> None:
    with ledger.tampering() as connection:
        tampering.act(connection, ledger)
    result = ledger.verify()
    told = "\n".join(map(str, result.findings[:20]))
    assert set(result.faults) == set(tampering.faults), told
    letters = {chain: letter for letter, chain in chains(ledger).items()}
    named = {(letters.get(one.chain, one.chain), one.sequence) for one in result.findings}
    assert named >= tampering.where, told


def test_there_are_fifty_kinds() -> None:
    assert len(TAMPERINGS) >= 50
    assert len({one.name for one in TAMPERINGS}) == len(TAMPERINGS)


def test_what_nobody_touched_verifies(ledger: Ledger) -> None:
    result = ledger.verify()
    assert result.findings == []
    assert result.ok
    assert (result.purged, result.erased, result.clock_steps) == (12, 14, 0)
    assert result.entries == 82
    assert result.anchors > 4
