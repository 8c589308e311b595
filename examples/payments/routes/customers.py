"""Customer profiles."""

from __future__ import annotations

from database import AsyncDatabase
from fastapi import APIRouter, HTTPException
from models import Account, Customer
from sqlalchemy import func, select

router = APIRouter(prefix="/customers", tags=["customers"])


@router.get("/{customer_id}/profile")
async def profile(customer_id: int, database: AsyncDatabase) -> dict[str, object]:
    customer = await database.get(Customer, customer_id)
    if customer is None:
        raise HTTPException(404, f"there is no customer {customer_id}")
    accounts = await database.scalar(select(func.count(Account.id)).where(Account.customer_id == customer_id))
    return {"id": customer.id, "full_name": customer.full_name, "email": customer.email, "accounts": accounts}
