"""A small FastAPI and SQLAlchemy service without telemetry code; tests copy it to `app.py`."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, FastAPI, HTTPException, Request
from sqlalchemy import create_engine, event, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import create_async_engine

SYNC_URL = os.environ.get("APP_DATABASE", "sqlite:///app.db")
ASYNC_URL = os.environ.get("APP_ASYNC_DATABASE", "sqlite+aiosqlite:///app.db")

logger = logging.getLogger("shop")
engine = create_engine(SYNC_URL)
async_engine = create_async_engine(ASYNC_URL)
NOW = "'now'" if SYNC_URL.startswith("sqlite") else "now()::text"

if SYNC_URL.startswith("sqlite"):

    @event.listens_for(engine, "connect")
    def add_sleep(connection: Any, record: Any) -> None:
        connection.create_function("pg_sleep", 1, lambda seconds: time.sleep(seconds) or 0)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with engine.begin() as connection:
        connection.execute(
            text("CREATE TABLE IF NOT EXISTS cards (id TEXT PRIMARY KEY, owner TEXT, number TEXT, note TEXT)")
        )
    yield
    await async_engine.dispose()
    engine.dispose()


app = FastAPI()
app.router.lifespan_context = lifespan  # FastAPI has an argument for it since 0.93


@app.get("/api/pid")
def pid() -> dict[str, int]:
    return {"pid": os.getpid()}


@app.get("/api/items/{item_id}")
def item(item_id: str) -> dict[str, Any]:
    with engine.connect() as connection:
        count = connection.execute(text("SELECT count(*) FROM cards")).scalar()
        now = connection.execute(text(f"SELECT {NOW} AS moment")).scalar()
    return {"item": item_id, "count": count, "now": bool(now)}


@app.get("/api/async/{item_id}")
async def async_item(item_id: str) -> dict[str, Any]:
    async with async_engine.connect() as connection:
        count = (await connection.execute(text("SELECT count(*) FROM cards"))).scalar()
        owner = (
            await connection.execute(text("SELECT owner FROM cards WHERE id = :id"), {"id": item_id})
        ).scalar()
    return {"item": item_id, "count": count, "owner": owner}


@app.get("/api/accounts/{account_id}/balance")
async def balance(account_id: str, wait_s: float = 0.0) -> dict[str, str]:
    await asyncio.sleep(wait_s)
    return {"balance": "12.50"}


@app.get("/api/reports/{report_id}")
def report(report_id: str, wait_s: float = 0.0) -> dict[str, str]:
    with engine.connect() as connection:
        connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": wait_s})
    return {"report": report_id}


@app.post("/api/cards/{card}")
async def add_card(card: str, request: Request) -> dict[str, str]:
    """Use a secret in every careless way, and raise an error."""
    body = await request.json()
    signing_key = request.headers.get("x-signing-key", "")
    query = dict(request.query_params)
    password = str(body.get("password"))
    logger.warning("adding card %s for %s with password=%s", card, query, password)
    async with async_engine.begin() as connection:
        await connection.execute(
            text("INSERT INTO cards (id, owner, number, note) VALUES (:id, :owner, :number, :note)"),
            {"id": str(body["id"]), "owner": "Ada", "number": body["card_number"], "note": signing_key},
        )
        await connection.execute(text(f"SELECT id FROM cards WHERE number = '{body['literal']}'"))
    raise RuntimeError(f"card {body['in_exception']} was refused, password={password}")


@app.post("/api/twice")
def twice() -> dict[str, str]:
    statement = text("INSERT INTO cards (id, owner, number, note) VALUES ('twice', 'Ada', '', '')")
    try:
        with engine.begin() as connection:
            connection.execute(statement)
            connection.execute(statement)
    except IntegrityError as error:
        raise HTTPException(409, "already there") from error
    return {}


@app.post("/api/same-card/{number}")
def same_card(number: str) -> dict[str, str]:
    """Break a constraint with the secret as the key, so that the driver's message quotes it."""
    statement = text("INSERT INTO cards (id, owner, number, note) VALUES (:number, 'Ada', '', '')")
    with engine.begin() as connection:
        connection.execute(statement, {"number": number})
    with engine.begin() as connection:
        connection.execute(statement, {"number": number})
    return {}


def count_cards() -> None:
    with engine.connect() as connection:
        connection.execute(text("SELECT count(id) FROM cards"))


@app.post("/api/recount", status_code=202)
async def recount(background: BackgroundTasks) -> dict[str, str]:
    background.add_task(count_cards)
    return {}


@app.get("/api/missing")
def missing() -> None:
    raise HTTPException(404, "nothing here")


@app.get("/api/error")
def error() -> None:
    raise ValueError("the ledger does not balance")
