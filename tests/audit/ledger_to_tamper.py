"""A ledger with every kind of row, created once for each database and copied for each test."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url
from sqlalchemy.engine import Connection

from audit.kit import KEY, Kit, changed
from mita_otel import AuditEvent
from mita_otel.audit.anchors import read_anchors
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.retention.apply import RetentionJob
from mita_otel.audit.retention.holds import LegalHolds
from mita_otel.audit.retention.subjects import Subjects
from mita_otel.audit.verification.findings import VerificationResult
from mita_otel.audit.verification.verify import verify
from mita_otel.policy import default_policy
from mita_otel.store.append_only import sqlite_triggers
from mita_otel.store.database import Database

DAY_NS = 86_400 * 10**9
NOW_NS = 1_800_000_000 * 10**9
_numbers = itertools.count()


@dataclass
class Ledger:
    """A copy of the ledger."""

    database: Database
    anchors: Path
    a: str
    """A chain of 30 entries and its first two and last, in which the entries 3, 8, 13, … are erased."""
    b: str
    """Another chain."""
    old: str
    """A chain whose entries 0 to 11 were purged."""
    erasure: str

    @contextmanager
    def tampering(self) -> Iterator[Connection]:
        """Yield a connection without triggers; they are created again afterwards."""
        with self.database.write() as connection:
            if self.database.is_sqlite:
                for name in sqlite_triggers():
                    connection.exec_driver_sql(f"DROP TRIGGER {name}")
            else:
                connection.exec_driver_sql("SET LOCAL session_replication_role = replica")
            yield connection
            if self.database.is_sqlite:
                for sql in sqlite_triggers().values():
                    connection.exec_driver_sql(sql)

    def verify(self, **options: object) -> VerificationResult:
        return verify(
            self.database,
            AuditKeys(KEY.encode()),
            anchors=read_anchors(self.anchors),
            **options,  # type: ignore[arg-type]
        )


def fill(kit: Kit, set_clock: Callable[[int], None]) -> dict[str, str]:
    """Fill the store; return the ids of its chains."""

    def record(count: int, **fields: object) -> str:
        chain = ""
        for number in range(count):
            receipt = kit.trail.record(
                AuditEvent(
                    event_type="payment_process" if number % 2 else "data_access",
                    user_id=None if number % 5 == 4 else f"user-{number % 5}",
                    resource_type="payment",
                    resource_id=f"p-{number}",
                    request_id=f"r-{number}",
                    trace_id=f"{number:032x}",
                    details={"amount": number, "email": f"user-{number % 5}@example.org"},
                    **fields,  # type: ignore[arg-type]
                )
            )
            assert receipt is not None
            chain = receipt.chain
        return chain

    set_clock(NOW_NS - 3000 * DAY_NS)
    old = record(10)
    set_clock(NOW_NS - 2000 * DAY_NS)
    record(10)
    kit.trail.close(60)
    set_clock(NOW_NS)
    a = record(30)
    kit.trail.close(60)
    b = record(30)
    kit.trail.close(60)
    applied = RetentionJob(
        kit.policy.retention, kit.policy.summary, kit.database, kit.trail, clock_ns=lambda: NOW_NS
    ).apply(trust_clock=True)
    assert applied.deleted["mita_audit_entries"] == 12
    holds = LegalHolds(kit.database, kit.trail, clock_ns=lambda: NOW_NS)
    holds.place(
        reason="case 12", by="counsel", data_class="errors", user_id="user-9", from_ns=1, until_ns=NOW_NS
    )
    holds.release(holds.place(reason="case 13", by="counsel").id, by="judge")
    with kit.database.read() as connection:
        backup = connection.exec_driver_sql(
            "SELECT chain, sequence, user_id, personal, personal_key FROM mita_audit_entries "
            "WHERE user_id = 'user-1' ORDER BY chain, sequence"
        )
        (kit.anchor_path.parent / "backup.json").write_text(json.dumps([list(row) for row in backup]))
    erased = Subjects(kit.database, kit.trail, clock_ns=lambda: NOW_NS + DAY_NS).erase(
        "user-1", reason="asked"
    )
    kit.trail.close(60)
    return {"a": a, "b": b, "old": old, "erasure": erased.erasure_id}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original")
    url = f"sqlite:///{folder / 'mita-otel.db'}"
    if request.param == "postgresql":
        server = make_url(request.getfixturevalue("postgresql_server"))
        admin = create_engine(server, isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            name = f"original_{next(_numbers)}"
            connection.exec_driver_sql(f"CREATE DATABASE {name}")
        admin.dispose()
        url = server.set(database=name).render_as_string(hide_password=False)
    now = [NOW_NS]
    kit = Kit(folder, url=url, policy=changed(audit__spool__segment_kilobytes=4), clock_ns=lambda: now[0])

    def set_clock(ns: int) -> None:
        now[0] = ns

    names = fill(kit, set_clock)
    kit.close()
    if kit.database.is_sqlite:
        with kit.database.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    (folder / "names.json").write_text(json.dumps({**names, "url": url}))
    return folder


@pytest.fixture
def ledger(original: Path, tmp_path: Path) -> Iterator[Ledger]:
    names = json.loads((original / "names.json").read_text())
    url = make_url(names.pop("url"))
    shutil.copy(original / "anchors.jsonl", tmp_path)
    shutil.copy(original / "backup.json", tmp_path)
    if url.get_backend_name() == "sqlite":
        shutil.copy(original / "mita-otel.db", tmp_path)
        copy = url.set(database=str(tmp_path / "mita-otel.db"))
    else:
        copy = url.set(database=f"copy_{next(_numbers)}")
        admin = create_engine(url.set(database="postgres"), isolation_level="AUTOCOMMIT")
        with admin.connect() as connection:
            connection.exec_driver_sql(f"CREATE DATABASE {copy.database} TEMPLATE {url.database}")
    database = Database(copy.render_as_string(hide_password=False), default_policy().store)
    yield Ledger(database, tmp_path / "anchors.jsonl", **names)
    database.close()
    if not database.is_sqlite:
        with admin.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {copy.database}")
        admin.dispose()
