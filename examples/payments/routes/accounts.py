"""Accounts: balance, statement, opening and closing."""

from __future__ import annotations

import asyncio
from decimal import Decimal

from database import AsyncDatabase, Database
from fastapi import APIRouter, HTTPException
from models import Account, Budget, Card, Transaction
from pydantic import BaseModel, Field
from simulation import SimulatedDelay, slow_query
from sqlalchemy import delete, func, select

router = APIRouter(prefix="/accounts", tags=["accounts"])


class NewAccount(BaseModel):
    """A request to open an account."""

    customer_id: int
    account_number: str = Field(min_length=6, max_length=20)
    iban: str
    kind: str = "checking"
    currency: str = "EUR"


@router.get("/{account_id}")
def account(account_id: int, database: Database) -> dict[str, object]:
    found = _found(database.get(Account, account_id), account_id)
    return {"id": found.id, "kind": found.kind, "account_number": found.account_number, "iban": found.iban}


@router.get("/{account_id}/balance")
async def balance(
    account_id: int, database: AsyncDatabase, simulate_ms: SimulatedDelay = 0
) -> dict[str, object]:
    """Return the balance. The query of pending amounts can be slow."""
    found = _found(await database.get(Account, account_id), account_id)
    await asyncio.sleep(simulate_ms / 1000)
    pending = await database.scalar(
        select(func.sum(Transaction.amount)).where(Transaction.account_id == account_id)
    )
    return {"balance": found.balance, "available": found.balance + (pending or 0), "currency": found.currency}


@router.get("/{account_id}/statement")
def statement(account_id: int, database: Database, simulate_ms: SimulatedDelay = 0) -> dict[str, object]:
    """Return totals by category. The query becomes slow as the table grows."""
    _found(database.get(Account, account_id), account_id)
    columns = [Transaction.category, func.sum(Transaction.amount), func.count(Transaction.id)]
    query = select(*columns).where(Transaction.account_id == account_id).group_by(Transaction.category)
    if simulate_ms:
        query = query.having(slow_query(simulate_ms).is_not(None))
    rows = database.execute(query.order_by(Transaction.category)).all()
    return {"totals": [{"category": row[0], "total": row[1], "count": row[2]} for row in rows]}


@router.post("", status_code=201)
def open_account(new: NewAccount, database: Database) -> dict[str, object]:
    """Open an account. An existing number causes an unhandled error."""
    opened = Account(**new.model_dump(), balance=Decimal(0))
    database.add(opened)
    database.commit()
    return {"id": opened.id}


@router.delete("/{account_id}", status_code=204, response_model=None)
def close_account(account_id: int, database: Database) -> None:
    found = _found(database.get(Account, account_id), account_id)
    if found.balance:
        raise HTTPException(409, "an account with money on it cannot be closed")
    for table in (Budget, Card, Transaction):
        database.execute(delete(table).where(table.account_id == account_id))
    database.execute(delete(Account).where(Account.id == account_id))
    database.commit()


def _found(account: Account | None, account_id: int) -> Account:
    if account is None:
        raise HTTPException(404, f"there is no account {account_id}")
    return account
