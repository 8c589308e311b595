"""A service and its worker in one process. The job carries the trace and the transaction."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from decimal import Decimal

import mita_otel
from mita_otel import (
    FinancialErrorCategory,
    add_financial_breadcrumb,
    context_to_carry,
    continue_context,
    financial_operation_monitor,
    financial_transaction_context,
)


@dataclass(frozen=True)
class Job:
    """A payment to settle, and the context of its order."""

    user_id: str
    amount: Decimal
    carried: dict[str, str] = field(default_factory=context_to_carry)


class RefusedError(Exception):
    """The clearing house refuses a payment."""


async def order(queue: asyncio.Queue[Job], user_id: str, payment_id: str, amount: Decimal) -> None:
    async with financial_transaction_context(user_id, "order_payment", payment_id, amount, "EUR"):
        await queue.put(Job(user_id, amount))


@financial_operation_monitor("settle_payment", FinancialErrorCategory.PAYMENT_PROCESSING)
async def settle(user_id: str, amount: Decimal) -> None:
    add_financial_breadcrumb("asking the clearing house", data={"amount": amount})
    await asyncio.sleep(0.01)
    if amount > 1000:
        raise RefusedError(f"clearing refused {amount} EUR")


async def work(queue: asyncio.Queue[Job]) -> None:
    while True:
        job = await queue.get()
        with continue_context(job.carried), contextlib.suppress(RefusedError):
            await settle(job.user_id, job.amount)
        queue.task_done()


async def main() -> None:
    telemetry = mita_otel.configure(service_name="payments")
    queue: asyncio.Queue[Job] = asyncio.Queue()
    workers = [asyncio.create_task(work(queue)) for _ in range(2)]
    for number, amount in enumerate([Decimal(20), Decimal(5000), Decimal("7.50")], 1):
        await order(queue, f"user-{number}", f"pay-{number}", amount)
    await queue.join()
    for worker in workers:
        worker.cancel()
    telemetry.shutdown()


if __name__ == "__main__":
    asyncio.run(main())
