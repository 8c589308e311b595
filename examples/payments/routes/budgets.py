"""Budgets. Slow on purpose: one query for each row of another query (N+1)."""

from __future__ import annotations

from decimal import Decimal

from database import Database
from fastapi import APIRouter, HTTPException
from models import Budget, Transaction
from pydantic import BaseModel, Field
from sqlalchemy import func, select

router = APIRouter(tags=["budgets"])


class Change(BaseModel):
    """A new limit for a budget."""

    monthly_limit: Decimal = Field(gt=0)


@router.get("/accounts/{account_id}/budgets")
def budgets(account_id: int, database: Database) -> list[dict[str, object]]:
    found = database.scalars(select(Budget).where(Budget.account_id == account_id)).all()
    return [
        {
            "id": budget.id,
            "category": budget.category,
            "limit": budget.monthly_limit,
            "spent": database.scalar(
                select(func.sum(Transaction.amount)).where(
                    Transaction.account_id == account_id, Transaction.category == budget.category
                )
            ),
        }
        for budget in found
    ]


@router.put("/budgets/{budget_id}")
def change_budget(budget_id: int, change: Change, database: Database) -> dict[str, object]:
    budget = database.get(Budget, budget_id)
    if budget is None:
        raise HTTPException(404, f"there is no budget {budget_id}")
    budget.monthly_limit = change.monthly_limit
    database.commit()
    return {"id": budget_id, "limit": change.monthly_limit}
