"""Transactions of an account."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import Annotated

from database import AsyncDatabase
from fastapi import APIRouter, HTTPException, Query
from models import Account, Transaction
from pydantic import BaseModel, Field
from simulation import SimulatedDelay
from sqlalchemy import select, update

router = APIRouter(tags=["transactions"])


class NewTransaction(BaseModel):
    """An amount to book."""

    account_id: int
    amount: Decimal = Field(max_digits=14, decimal_places=2)
    merchant: str
    category: str = "groceries"


@router.get("/accounts/{account_id}/transactions")
async def transactions(
    account_id: int, database: AsyncDatabase, limit: Annotated[int, Query(ge=1, le=100)] = 20
) -> list[dict[str, object]]:
    query = select(Transaction).where(Transaction.account_id == account_id)
    found = await database.scalars(query.order_by(Transaction.id.desc()).limit(limit))
    return [{"id": one.id, "amount": one.amount, "merchant": one.merchant} for one in found]


@router.post("/transactions", status_code=201)
async def book(
    new: NewTransaction, database: AsyncDatabase, simulate_ms: SimulatedDelay = 0
) -> dict[str, object]:
    """Book an amount. The fraud check before it can be slow."""
    await asyncio.sleep(simulate_ms / 1000)
    changed = await database.execute(
        update(Account).where(Account.id == new.account_id).values(balance=Account.balance + new.amount)
    )
    if not changed.rowcount:
        raise HTTPException(404, f"there is no account {new.account_id}")
    booked = Transaction(**new.model_dump())
    database.add(booked)
    await database.flush()
    booked_id = booked.id
    await database.commit()
    return {"id": booked_id}
