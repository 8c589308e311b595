"""Fixtures: books of both kinds, a bank."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from alerts.kit import SCOPE, Bank
from mita_otel.alerts.book import AlertBook
from mita_otel.alerts.memory_book import MemoryBook
from mita_otel.alerts.store_book import StoreBook
from mita_otel.policy import Policy, default_policy
from mita_otel.store.database import Database

OpenBook = Callable[[], AlertBook]


@pytest.fixture(params=["memory", "sqlite", "postgresql"])
def open_book(request: pytest.FixtureRequest, tmp_path: object) -> Iterator[OpenBook]:
    """Open the same book, again and again where it is in a store: what one process wrote, another one reads."""
    opened: list[AlertBook] = []
    memory = MemoryBook(max_points=10_000, max_messages=1000)
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path}/alerts.db"
    elif request.param == "postgresql":
        url = request.getfixturevalue("postgresql_url")

    def open_one() -> AlertBook:
        if request.param == "memory":
            return memory
        database = Database(url, default_policy().store)
        opened.append(StoreBook(database, SCOPE, lease_s=30, migrate=True, max_messages=1000))
        return opened[-1]

    yield open_one
    for book in opened:
        book.close()


@pytest.fixture
def memory_bank() -> Callable[..., Bank]:
    """A bank that counts for itself."""

    def make(policy: Policy | None = None) -> Bank:
        book = MemoryBook(max_points=10_000, max_messages=1000)
        return Bank(book, policy or default_policy())

    return make
