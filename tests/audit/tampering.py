"""Kinds of tampering by an attacker who has all database privileges but no key."""

from __future__ import annotations

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlalchemy.engine import Connection

from audit.kit import KEY
from audit.ledger_to_tamper import Ledger
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.verification.findings import AuditFault

COLUMNS = (
    "chain, sequence, recorded_ns, event_type, outcome, service, user_id, resource_type, resource_id, request_id, "
    "trace_id, body, mac, key_id, personal, personal_key, erasure_id, erasure_mac"
)
REST = COLUMNS.removeprefix("chain, sequence, ")
AT_10 = "WHERE chain = '{a}' AND sequence = 10"
KEY_ID = AuditKeys(KEY.encode()).current_id


@dataclass(frozen=True)
class Tampering:
    """A change to the tables, and the faults that verification reports."""

    name: str
    act: Callable[[Connection, Ledger], None]
    faults: frozenset[AuditFault]
    """All faults that are reported, and no other."""
    where: frozenset[tuple[str, int | None]]
    """The reported entries: letter of the chain and sequence. Empty: any."""


TAMPERINGS: list[Tampering] = []


def tampering(
    *faults: AuditFault, at: list[tuple[str, int | None]] | None = None
) -> Callable[[Callable[[Connection, Ledger], None]], None]:
    def add(act: Callable[[Connection, Ledger], None]) -> None:
        TAMPERINGS.append(Tampering(act.__name__, act, frozenset(faults), frozenset(at or ())))

    return add


def sql(
    name: str, statement: str, *faults: AuditFault, at: list[tuple[str, int | None]] | None = None
) -> None:
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
    connection.execute(text(f"INSERT INTO {table} ({names}) VALUES ({marks})"), fields)


def forged(chain: str, sequence: int, previous: str, **fields: Any) -> dict[str, Any]:
    """Return an entry forged by an attacker who knows everything but the key."""
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


def change(connection: Connection, chain: str, sequence: int, fields: dict[str, Any]) -> None:
    names = ", ".join(f"{name} = :{name}" for name in fields)
    statement = f"UPDATE mita_audit_entries SET {names} WHERE chain = '{chain}' AND sequence = {sequence}"
    assert connection.execute(text(statement), fields).rowcount == 1
