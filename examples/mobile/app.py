"""A service with its own routes and the gateway for its mobile app."""

from __future__ import annotations

import asyncio

from fastapi import FastAPI

import mita_otel

app = FastAPI()
app.include_router(mita_otel.mobile_router())


@app.get("/api/transactions")
async def transactions() -> dict[str, list[str]]:
    await asyncio.sleep(0.03)
    return {"transactions": ["groceries", "rent"]}


@app.post("/api/payments", status_code=201)
async def pay() -> dict[str, str]:
    await asyncio.sleep(0.25)
    return {"status": "done"}
