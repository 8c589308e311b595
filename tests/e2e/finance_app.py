"""A small bank that uses the financial API; tests copy it to `app.py`."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import Depends, FastAPI, HTTPException, Request
from sqlalchemy import create_engine, text

from mita_otel import (
    FinancialErrorCategory,
    UserContext,
    add_financial_breadcrumb,
    capture_financial_error,
    financial_operation_monitor,
    financial_transaction_context,
    set_compliance_context,
    set_financial_user,
    set_security_context,
)

engine = create_engine("sqlite:///bank.db")
logger = logging.getLogger("bank")


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS payments (id TEXT PRIMARY KEY)"))
    yield
    engine.dispose()


app = FastAPI(lifespan=lifespan)


def signed_in(request: Request) -> str:
    """Authenticate in a separate thread: verify, and return the user."""
    user = request.headers["x-signed-in"]
    set_financial_user(UserContext(user, email=f"{user}@example.com", subscription_tier="premium"))
    return user


def gateway(payment_id: str) -> None:
    raise ConnectionError(f"gateway refused {payment_id} of card 4111 1111 1111 1111")


def look_up() -> int:
    with engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM payments")).scalar() or 0)


@app.post("/api/transactions")
async def transact(request: Request, user: str = Depends(signed_in)) -> dict[str, Any]:
    body = await request.json()
    add_financial_breadcrumb(f"checking for {user}", data={"of": user})
    await asyncio.sleep(float(body.get("wait_s", 0)))
    look_up()
    logger.warning("logged for %s", user)
    event_id = ""
    async with financial_transaction_context(
        user, "settle_transaction", body["transaction_id"], "9.90", "EUR"
    ):
        await asyncio.sleep(float(body.get("wait_s", 0)))
        look_up()
        try:
            gateway(body["transaction_id"])
        except ConnectionError as error:
            event_id = await capture_financial_error(
                error,
                FinancialErrorCategory.PAYMENT_PROCESSING,
                additional_context={"payment_method": "credit_card", "api_token": "tok-qW8xZr2LmN5v"},
            )
    return {"user": user, "event_id": event_id}


@financial_operation_monitor("process_payment", FinancialErrorCategory.PAYMENT_PROCESSING, require_user=True)
def process(payment_id: str, amount: str, currency: str) -> None:
    look_up()
    gateway(payment_id)


@app.post("/api/payments/{payment_id}")
def pay(payment_id: str, wait_s: float = 0, user: str = Depends(signed_in)) -> dict[str, str]:
    add_financial_breadcrumb(f"paying for {user}")
    time.sleep(wait_s)
    look_up()
    process(payment_id, "12.50", "USD")
    return {}


@app.get("/api/unavailable/payments")
def unavailable() -> None:
    raise HTTPException(503, "try later")


@app.post("/api/login/{user}")
def login(user: str, request: Request) -> dict[str, str]:
    host = request.client.host if request.client else ""
    return {"event_id": set_security_context("failed_login", "medium", {"ip_address": host}, user)}


@app.post("/api/audit")
def audit() -> dict[str, str]:
    return {"event_id": set_compliance_context("PCI_DSS", "3.4", "violation", {"encrypted": False})}
