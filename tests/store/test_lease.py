"""Leases: one process holds it until it expires."""

from __future__ import annotations

import threading
from contextlib import closing

from mita_otel.policy import default_policy
from mita_otel.store.database import Database
from mita_otel.store.lease import Lease
from mita_otel.store.migrate import require


def test_one_process_holds_the_lease_until_it_expires(database_url: str) -> None:
    with closing(Database(database_url, default_policy().store)) as database:
        require(database, migrate=True)
        now = [10**18]
        first, second = (Lease(database, "x", name, clock_ns=lambda: now[0]) for name in ("one", "two"))
        assert first.take(60)
        assert not second.take(60)
        assert first.take(60)
        now[0] += 61 * 10**9
        assert second.take(60)
        assert not first.take(60)
        assert Lease(database, "y", "one", clock_ns=lambda: now[0]).take(60)


def test_one_of_many_concurrent_processes_gets_the_lease(database_url: str) -> None:
    with closing(Database(database_url, default_policy().store)) as database:
        require(database, migrate=True)
        barrier = threading.Barrier(4)
        got: list[bool] = []

        def ask(name: str) -> None:
            with closing(Database(database_url, default_policy().store)) as own:
                barrier.wait()
                got.append(Lease(own, "x", name).take(60))

        threads = [threading.Thread(target=ask, args=(str(number),)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(got) == [False, False, False, True]
