"""The requests of the demo, and the secrets in them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import Any

import httpx

VISA, MASTERCARD, DECLINED = "4111111111111111", "5555555555554444", "4000000000000002"
PASSWORD, TOKEN, API_KEY = "hunter2-Zx81Qp", "tok-qW8xZr2LmN5v", "key-Jp7Kd0WsVb4y"
ACCOUNT_NUMBER, IBAN = "000123456789", "DE89370400440532013000"

_Request = tuple[str, str, dict[str, Any]]
_THREADS = 3


class Traffic:
    """Some seconds of customer requests.

    Args:
        url: URL of the service.
    """

    secrets = (VISA, MASTERCARD, DECLINED, PASSWORD, TOKEN, API_KEY, ACCOUNT_NUMBER, IBAN)
    """Published test numbers and made-up values. No trace may contain them."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._requests = [*_quick(), *_slow(), *_careless(), *_failing()]
        random.Random(41).shuffle(self._requests)
        # These payments are settled later, so they come first.
        self._first: list[_Request] = [_pay("Corner Market"), _pay("Grand Cinema")]

    @property
    def total(self) -> int:
        """Number of requests."""
        return len(self._first) + len(self._requests)

    def drive(self) -> Iterator[int]:
        """Send all requests, a few at a time. Yields the status of each response."""
        with httpx.Client(base_url=self._url, timeout=30) as client, ThreadPoolExecutor(_THREADS) as threads:
            for request in self._first:
                yield _send(client, request)
            waiting = [threads.submit(_send, client, request) for request in self._requests]
            for answered in as_completed(waiting):
                yield answered.result()


def _send(client: httpx.Client, request: _Request) -> int:
    method, path, options = request
    # One connection for each request: uvicorn closes a connection after an unhandled error.
    return client.request(
        method, path, headers={"connection": "close"} | options.pop("headers", {}), **options
    ).status_code


def _quick() -> list[_Request]:
    accounts = (1, 2, 3)
    reads = [f"/api/accounts/{one}{part}" for one in accounts for part in ("", "/balance", "/transactions")]
    reads += [f"/api/customers/{one}/profile" for one in (1, 2)]
    some: list[_Request] = [("GET", path, {}) for path in reads for _ in range(14)]
    some += [("GET", f"/api/accounts/{one}/budgets", {}) for one in accounts for _ in range(3)]
    some += [("GET", f"/api/accounts/{one}/statement", {}) for one in accounts for _ in range(2)]
    some += [("PUT", f"/api/budgets/{one}", {"json": {"monthly_limit": "250"}}) for one in range(1, 7)]
    some += [
        ("POST", "/api/auth/login", {"json": {"email": "ada@example.com", "password": "correct horse"}})
    ] * 4
    some += [
        _pay(payee) for payee in ("Blue Plate", "Book Nook", "City Metro", "North Energy", "Green Basket")
    ]
    booked = {"account_id": 2, "amount": "-12.30", "merchant": "Green Basket"}
    some += [("POST", "/api/transactions", {"json": booked}) for _ in range(10)]
    return some


def _slow() -> list[_Request]:
    some: list[_Request] = [
        ("GET", "/api/accounts/1/balance", {"params": {"simulate_ms": ms}}) for ms in (330, 350, 410)
    ]
    some += [("GET", "/api/accounts/2/statement", {"params": {"simulate_ms": ms}}) for ms in (230, 260)]
    some += [("PUT", f"/api/payments/{one}", {"params": {"simulate_ms": 1100}}) for one in (1, 2)]
    booked = {"account_id": 1, "amount": "-80.00", "merchant": "Coastal Rail", "category": "travel"}
    some += [("POST", "/api/transactions", {"json": booked, "params": {"simulate_ms": 850}})]
    return some


def _careless() -> list[_Request]:
    search = {"card_number": MASTERCARD, "pin": "8642"}
    some: list[_Request] = [
        ("GET", "/api/cards/search", {"params": search, "headers": {"x-api-key": API_KEY}}) for _ in range(3)
    ]
    some += [("GET", f"/api/cards/{VISA}", {}) for _ in range(3)]
    some += [("GET", "/api/auth/session", {"params": {"token": TOKEN}}) for _ in range(2)]
    some += [("POST", "/api/auth/login", {"json": {"email": "ben@example.com", "password": PASSWORD}})] * 2
    return some


def _failing() -> list[_Request]:
    declined = {"card_number": DECLINED, "cvv": "737", "amount": "19.90", "payee": "Noodle House"}
    taken = {"customer_id": 1, "account_number": ACCOUNT_NUMBER, "iban": IBAN}
    return [
        ("POST", "/api/payments", {"json": declined}),
        ("POST", "/api/payments", {"json": declined}),
        ("POST", "/api/payments", {"json": {**declined, "amount": "99999.00"}}),
        ("POST", "/api/payments", {"json": {**declined, "cvv": "secret"}}),
        ("POST", "/api/accounts", {"json": taken}),
        ("GET", "/api/accounts/999/balance", {}),
    ]


def _pay(payee: str) -> _Request:
    return (
        "POST",
        "/api/payments",
        {"json": {"card_number": VISA, "cvv": "123", "amount": "9.90", "payee": payee}},
    )
