"""Payments. Insecure on purpose: the error of a declined payment contains the card number."""

from __future__ import annotations

import logging
import time
from decimal import Decimal

from database import Database, engine
from fastapi import APIRouter, BackgroundTasks, HTTPException
from models import Account, Card, Payment
from pydantic import BaseModel, Field
from simulation import SimulatedDelay, slow_query
from sqlalchemy import select, update
from sqlalchemy.orm import Session

router = APIRouter(prefix="/payments", tags=["payments"])
logger = logging.getLogger("payments")

DECLINED = "4000000000000002"
"""A published test number that the network declines."""


class CardDeclinedError(Exception):
    """The card network declined a card."""


class NewPayment(BaseModel):
    """A payment request."""

    card_number: str = Field(min_length=12, max_length=19)
    cvv: str = Field(pattern=r"^\d{3,4}$")
    amount: Decimal = Field(gt=0, max_digits=14, decimal_places=2)
    currency: str = Field(default="EUR", min_length=3, max_length=3)
    payee: str


@router.post("", status_code=201)
def pay(
    new: NewPayment, background: BackgroundTasks, database: Database, simulate_ms: SimulatedDelay = 0
) -> dict[str, object]:
    """Pay with a card. Responds 402 if funds are insufficient; a declined card causes an unhandled error."""
    card = database.scalar(select(Card).where(Card.number == new.card_number))
    if card is None:
        raise HTTPException(404, "the card is not known")
    account = database.get(Account, card.account_id)
    if account is None or account.balance < new.amount:
        raise HTTPException(402, "insufficient funds")
    _authorize(new, simulate_ms)
    payment = Payment(
        account_id=account.id,
        card_id=card.id,
        amount=new.amount,
        currency=new.currency,
        payee=new.payee,
    )
    database.add(payment)
    account.balance -= new.amount
    database.flush()
    payment_id = payment.id
    database.commit()
    background.add_task(send_receipt, payment_id, new.card_number)
    return {"id": payment_id, "status": "pending"}


@router.get("/{payment_id}")
def payment(payment_id: int, database: Database) -> dict[str, object]:
    found = database.get(Payment, payment_id)
    if found is None:
        raise HTTPException(404, f"there is no payment {payment_id}")
    return {"id": found.id, "amount": found.amount, "payee": found.payee, "status": found.status}


@router.put("/{payment_id}")
def settle(payment_id: int, database: Database, simulate_ms: SimulatedDelay = 0) -> dict[str, object]:
    """Settle a payment. The clearing house and the UPDATE each take half of the simulated delay."""
    if database.get(Payment, payment_id) is None:
        raise HTTPException(404, f"there is no payment {payment_id}")
    time.sleep(simulate_ms / 2000)
    change = update(Payment).where(Payment.id == payment_id).values(status="settled")
    if simulate_ms:
        change = change.where(slow_query(simulate_ms // 2).is_not(None))
    database.execute(change.execution_options(synchronize_session=False))
    database.commit()
    return {"id": payment_id, "status": "settled"}


def send_receipt(payment_id: int, card_number: str) -> None:
    """Send a receipt to the customer, after the response."""
    with Session(engine) as database:
        found = database.get(Payment, payment_id)
        time.sleep(0.03)
        if found is not None:
            logger.info("receipt of payment %d sent, card %s, %s", payment_id, card_number, found.amount)


def _authorize(new: NewPayment, delay_ms: int) -> None:
    time.sleep(delay_ms / 1000)
    if new.card_number == DECLINED:
        raise CardDeclinedError(f"do not honour: card {new.card_number}, cvv {new.cvv}")
