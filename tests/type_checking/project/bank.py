"""A user's project: every public name of the financial API, as strict type checkers see it."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator, Callable, Iterator
from decimal import Decimal
from typing import Any, assert_type
from uuid import UUID

from fastapi import Depends, FastAPI, Request

from mita_otel import (
    FinancialContext,
    FinancialErrorCategory,
    FinancialSentryMiddleware,
    FinancialSeverity,
    MissingUserError,
    Telemetry,
    UserContext,
    add_financial_breadcrumb,
    capture_authentication_error,
    capture_budget_error,
    capture_compliance_error,
    capture_financial_error,
    capture_payment_error,
    capture_security_error,
    capture_transaction_error,
    clear_user,
    configure,
    financial_operation_monitor,
    financial_transaction_context,
    monitor_api_request,
    monitor_financial_operation,
    monitor_financial_performance,
    request_operation,
    sentry_service,
    set_compliance_context,
    set_financial_user,
    set_request_context,
    set_security_context,
    set_transaction,
)

telemetry = configure(environment="development", exporters=["console"])
assert_type(telemetry, Telemetry)


def user_of(request: Request) -> str | None:
    claims: dict[str, str] | None = getattr(request.state, "claims", None)
    return claims["sub"] if claims else None


app = FastAPI()
app.add_middleware(FinancialSentryMiddleware)
app.add_middleware(FinancialSentryMiddleware, user=user_of)


@financial_operation_monitor(
    operation_name="process_payment",
    category=FinancialErrorCategory.PAYMENT_PROCESSING,
    track_performance=True,
    require_user=True,
)
async def process_payment(user_id: str, amount: Decimal, currency: str) -> int:
    return len(user_id)


@financial_operation_monitor
def settle(user_id: UUID, *, amount: float = 0.0) -> list[str]:
    return [str(user_id)]


@financial_operation_monitor("stream", "loan_approval", severity="low", expected_errors=[KeyError])
def stream(count: int) -> Iterator[int]:
    yield from range(count)


@financial_operation_monitor("stream")
async def astream(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


class Bank:
    @financial_operation_monitor("charge")
    def charge(self, amount: int) -> int:
        return amount

    @classmethod
    @monitor_financial_operation("open")
    def open(cls, name: str) -> Bank:
        return cls()


@app.post("/payments/{payment_id}", dependencies=[Depends(request_operation("payment_processing"))])
async def pay(payment_id: str, request: Request) -> dict[str, str]:
    assert_type(await process_payment("u-1", Decimal("9.90"), "EUR"), int)
    assert_type(settle(UUID(int=1), amount=2.5), list[str])
    assert_type(list(stream(3)), list[int])
    assert_type([number async for number in astream(3)], list[int])
    assert_type(Bank.open("north").charge(5), int)
    set_financial_user(
        UserContext(user_id="u-1", email="ada@example.com", last_login=dt.datetime.now(dt.UTC))
    )
    set_financial_user(7)
    set_transaction("tx-1", amount="9.90", currency="EUR", payment_method="card", channel="app")
    set_transaction(FinancialContext(UUID(int=1), Decimal(1), "USD", extra={"channel": "app"}))
    set_request_context(request)
    assert_type(bool(set_compliance_context("PCI_DSS", "3.4", status="compliant", details={"a": True})), bool)
    event: str = set_security_context("failed_login", FinancialSeverity.HIGH, {"ip": "192.0.2.1"}, user_id=5)
    add_financial_breadcrumb("checking", category="payment", level="info", data={"attempt": 1})
    async with financial_transaction_context(
        user_id="u-1", operation="payment_processing", transaction_id=7, amount=9.9, currency="EUR"
    ) as operation:
        operation.set_data("attempt", 1)
        operation.set_tag("channel", "app")
        operation.add_metadata("merchant", "Acme")
        operation.set_result({"status": "settled"})
        assert_type(operation.name, str)
    with monitor_financial_performance(
        "nightly", "background_task", transaction_data={"amount": 5}
    ) as monitored:
        monitored.set_tag("shard", 3)
    async with monitor_api_request(request, user_id="u-1") as measured:
        measured.set_data("items", [1, 2, 3])
    clear_user()
    return {"event": event}


async def captured(error: Exception, request: Request) -> list[str]:
    first: str = await capture_financial_error(
        exception=error,
        category=FinancialErrorCategory.TRANSACTION_PROCESSING,
        severity=FinancialSeverity.CRITICAL,
        user_id="u-1",
        transaction_id="tx-1",
        amount=9.9,
        currency="EUR",
        request=request,
        additional_context={"step": 1},
        tags={"channel": "app"},
    )
    second: str = capture_financial_error(error, "loan_approval", "high")
    others: list[str] = [
        capture_transaction_error(error, "u-1", "tx-1", Decimal(1), "EUR", transaction_type="transfer"),
        capture_authentication_error(error, auth_method="password", ip_address="192.0.2.1"),
        capture_payment_error(error, payment_method="card", amount=5, currency="EUR", severity="low"),
        capture_budget_error(error, budget_category="food"),
        capture_security_error(error, event_type="intrusion"),
        await capture_compliance_error(error, regulation="PCI_DSS"),
    ]
    try:
        settle(UUID(int=1))
    except MissingUserError as missing:
        others.append(sentry_service.capture_financial_error(missing))
    return [first, second, *others]


def hand_on(function: Callable[[str, Decimal, str], Any]) -> None:
    function("u-1", Decimal(1), "EUR")


hand_on(process_payment)
