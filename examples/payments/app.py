"""A small bank: accounts, cards, transactions, payments, budgets. It contains no telemetry code.

Start it with `opentelemetry-instrument uvicorn app:app`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio.to_thread import run_sync
from database import async_engine, engine
from fastapi import FastAPI
from routes import accounts, auth, budgets, cards, customers, payments, transactions
from seed import prepare_database


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    await run_sync(prepare_database)
    yield
    await async_engine.dispose()
    engine.dispose()


app = FastAPI(title="payments", version="1.0.0", lifespan=lifespan)
for module in (accounts, auth, budgets, cards, customers, payments, transactions):
    app.include_router(module.router, prefix="/api")


@app.get("/health")
async def health() -> dict[str, str]:
    return {"status": "ok"}
