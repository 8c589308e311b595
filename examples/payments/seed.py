"""Creates the initial data of the bank. Card numbers are the card schemes' published test numbers."""

from __future__ import annotations

import random
from decimal import Decimal

from database import engine
from models import Account, Base, Budget, Card, Customer, Transaction, now
from passwords import hash_password
from sqlalchemy import Connection, insert, select
from sqlalchemy.orm import Session

CATEGORIES = {
    "groceries": ["Corner Market", "Green Basket"],
    "transport": ["City Metro", "Two Wheels"],
    "rent": ["Elm Street Homes"],
    "dining": ["Blue Plate", "Noodle House"],
    "health": ["Old Town Pharmacy"],
    "leisure": ["Grand Cinema", "Book Nook"],
    "utilities": ["North Energy"],
    "travel": ["Coastal Rail"],
}


def prepare_database() -> None:
    """Create and fill the tables once, even if several workers start at the same time."""
    with engine.begin() as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("BEGIN IMMEDIATE")
        else:
            connection.exec_driver_sql("SELECT pg_advisory_xact_lock(4111)")
        Base.metadata.create_all(connection)
        if connection.execute(select(Customer.id).limit(1)).first() is None:
            _fill(connection)


def _fill(connection: Connection) -> None:
    pick = random.Random(7)
    with Session(connection) as session:
        ada = Customer(
            full_name="Ada Example", email="ada@example.com", password_hash=hash_password("correct horse")
        )
        ben = Customer(
            full_name="Ben Example", email="ben@example.com", password_hash=hash_password("battery staple")
        )
        session.add_all([ada, ben])
        session.flush()
        accounts = [
            _account(ada, "000123456789", "DE89370400440532013000", "checking", "4821.55", "EUR"),
            _account(ada, "000222222227", "GB29NWBK60161331926819", "savings", "15300.00", "EUR"),
            _account(ben, "000999999991", "FR1420041010050500013M02606", "checking", "120.00", "EUR"),
        ]
        session.add_all(accounts)
        session.flush()
        session.add_all(
            [
                Card(account_id=accounts[0].id, number="4111111111111111", brand="visa", expires="12/30"),
                Card(
                    account_id=accounts[1].id, number="5555555555554444", brand="mastercard", expires="06/29"
                ),
                Card(account_id=accounts[2].id, number="4000000000000002", brand="visa", expires="01/31"),
            ]
        )
        budgets = [
            {"account_id": account.id, "category": category, "monthly_limit": pick.randrange(100, 900, 50)}
            for account in accounts
            for category in CATEGORIES
        ]
        transactions = [
            {
                "account_id": account.id,
                "amount": Decimal(-pick.randrange(300, 9000)) / 100,
                "merchant": pick.choice(merchants),
                "category": category,
                "booked_at": now(),
            }
            for account in accounts
            for category, merchants in CATEGORIES.items()
            for _ in range(12)
        ]
        session.flush()
    connection.execute(insert(Budget), budgets)
    connection.execute(insert(Transaction), transactions)


def _account(customer: Customer, number: str, iban: str, kind: str, balance: str, currency: str) -> Account:
    return Account(
        customer_id=customer.id,
        account_number=number,
        iban=iban,
        kind=kind,
        balance=Decimal(balance),
        currency=currency,
    )
