"""A sync and an async engine for one database: SQLite by default, PostgreSQL if `DATABASE_URL` says so."""

from __future__ import annotations

import os
import time
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import URL, create_engine, event, make_url
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session


def driver_urls(database_url: str) -> tuple[URL, URL]:
    """Return the URLs for the sync and the async driver."""
    url = make_url(database_url)
    if url.drivername.startswith("sqlite"):
        return url.set(drivername="sqlite+pysqlite"), url.set(drivername="sqlite+aiosqlite")
    url = url.set(drivername="postgresql+psycopg")
    return url, url


SYNC_URL, ASYNC_URL = driver_urls(os.environ.get("DATABASE_URL", "sqlite:///payments.db"))

engine = create_engine(SYNC_URL)
async_engine = create_async_engine(ASYNC_URL)

if engine.dialect.name == "sqlite":

    def prepare(connection: Any, record: Any) -> None:
        """Allow concurrent readers and writers, and define PostgreSQL's `pg_sleep` for SQLite."""
        cursor = connection.cursor()
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute("PRAGMA synchronous=NORMAL")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.close()
        connection.create_function("pg_sleep", 1, sleep)

    def sleep(seconds: float) -> str:
        time.sleep(seconds)
        return ""

    event.listen(engine, "connect", prepare)
    event.listen(async_engine.sync_engine, "connect", prepare)


def session() -> Iterator[Session]:
    with Session(engine) as opened:
        yield opened


async def async_session() -> AsyncIterator[AsyncSession]:
    async with AsyncSession(async_engine) as opened:
        yield opened


Database = Annotated[Session, Depends(session)]
AsyncDatabase = Annotated[AsyncSession, Depends(async_session)]
