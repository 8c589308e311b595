"""Fixtures: alert stores of both kinds, and a bank."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from alerts.kit import SCOPE, Bank
from databases import sqlite_url
from mita_otel.alerts.memory_store import MemoryAlertStore
from mita_otel.alerts.sql_store import SqlAlertStore
from mita_otel.alerts.store import AlertStore
from mita_otel.policy import Policy, default_policy
from mita_otel.store.database import Database

OpenStore = Callable[[], AlertStore]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenStore]:
    """Open the same alert store repeatedly; in a database, one process reads what another wrote."""
    opened: list[AlertStore] = []
    memory = MemoryAlertStore(max_samples=10_000, max_queued=1000)
    if request.param == "sqlite":
        url = sqlite_url(tmp_path / "alerts.db")
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")

    def open_one() -> AlertStore:
        if request.param == "memory":
            return memory
        database = Database(url, default_policy().store)
        opened.append(SqlAlertStore(database, SCOPE, lease_s=30, migrate=True, max_queued=1000))
        return opened[-1]

    yield open_one
    for store in opened:
        store.close()


@pytest.fixture
def memory_bank() -> Callable[..., Bank]:
    """A bank that counts for itself."""

    def make(policy: Policy | None = None) -> Bank:
        store = MemoryAlertStore(max_samples=10_000, max_queued=1000)
        return Bank(store, policy or default_policy())

    return make
