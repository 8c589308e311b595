"""Logins. Insecure on purpose: a failed login logs the password, and a token is in a query string."""

from __future__ import annotations

import logging
import secrets

from anyio.to_thread import run_sync
from database import AsyncDatabase
from fastapi import APIRouter, HTTPException
from models import Customer
from passwords import matches
from pydantic import BaseModel
from sqlalchemy import select

router = APIRouter(prefix="/auth", tags=["auth"])
logger = logging.getLogger("payments.auth")


class Login(BaseModel):
    """A login attempt."""

    email: str
    password: str


@router.post("/login")
async def login(attempt: Login, database: AsyncDatabase) -> dict[str, str]:
    customer = await database.scalar(select(Customer).where(Customer.email == attempt.email))
    if customer is None or not await run_sync(matches, attempt.password, customer.password_hash):
        logger.warning("login of %s failed, password=%s", attempt.email, attempt.password)
        raise HTTPException(401, "unknown e-mail address or wrong password")
    customer.session_token = secrets.token_urlsafe(24)
    token = customer.session_token
    await database.commit()
    return {"access_token": token, "token_type": "bearer"}


@router.get("/session")
async def current_session(token: str, database: AsyncDatabase) -> dict[str, object]:
    customer = await database.scalar(select(Customer).where(Customer.session_token == token))
    if customer is None:
        raise HTTPException(401, "the session has ended")
    return {"customer_id": customer.id, "email": customer.email}
