"""Cards. Insecure on purpose: card numbers in paths, query strings and SQL statements."""

from __future__ import annotations

from typing import Annotated

from database import AsyncDatabase, Database
from fastapi import APIRouter, Header, HTTPException, Query
from models import Card
from pydantic import BaseModel, Field
from sqlalchemy import select, text

router = APIRouter(prefix="/cards", tags=["cards"])


class NewCard(BaseModel):
    """A card to add to an account."""

    account_id: int
    card_number: str = Field(min_length=12, max_length=19)
    cvv: str = Field(pattern=r"^\d{3,4}$")
    brand: str = "visa"
    expires: str = Field(pattern=r"^\d\d/\d\d$")


@router.get("/search")
def search(
    card_number: Annotated[str, Query(pattern=r"^\d{12,19}$")],
    database: Database,
    pin: Annotated[str | None, Query()] = None,
    x_api_key: Annotated[str | None, Header()] = None,
) -> list[dict[str, object]]:
    """Find a card with its number as a literal in the SQL statement, as an old reporting tool would."""
    rows = database.execute(text(f"SELECT id, brand, expires FROM cards WHERE number = '{card_number}'"))
    return [{"id": row.id, "brand": row.brand, "expires": row.expires} for row in rows]


@router.get("/{card_number}")
async def card(card_number: str, database: AsyncDatabase) -> dict[str, object]:
    found = await database.scalar(select(Card).where(Card.number == card_number))
    if found is None:
        raise HTTPException(404, f"there is no card {card_number}")
    return {"id": found.id, "brand": found.brand, "expires": found.expires}


@router.post("", status_code=201)
async def add_card(new: NewCard, database: AsyncDatabase) -> dict[str, object]:
    added = Card(account_id=new.account_id, number=new.card_number, brand=new.brand, expires=new.expires)
    database.add(added)
    await database.flush()
    card_id = added.id
    await database.commit()
    return {"id": card_id}
