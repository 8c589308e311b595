"""A service with the gateway for mobile apps beside its own routes."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

import mita_otel

app = FastAPI()
app.include_router(mita_otel.mobile_router())


@app.get("/api/transactions")
async def transactions() -> dict[str, list[str]]:
    return {"transactions": []}


@app.post("/api/payments")
async def payments() -> dict[str, str]:
    return {"status": "done"}


@app.get("/performance")
async def performance() -> dict[str, Any]:
    return mita_otel.get_performance_summary()
