"""A Celery task and its caller, with broker and results in memory.

OpenTelemetry's Celery instrumentation carries the context in the message headers. With a real broker, caller and worker are
separate processes, and each calls `mita_otel.configure()`.
"""

from __future__ import annotations

from celery import Celery
from celery.contrib.testing.worker import start_worker
from opentelemetry.instrumentation.celery import CeleryInstrumentor

import mita_otel
from mita_otel import FinancialErrorCategory, financial_operation_monitor, financial_transaction_context

jobs = Celery("jobs", broker="memory://", backend="cache+memory://")


class RefusedError(Exception):
    """The clearing house refuses a payment."""


@jobs.task(name="settle_payment")
@financial_operation_monitor("settle_payment", FinancialErrorCategory.PAYMENT_PROCESSING)
def settle(user_id: str, amount: str) -> str:
    if float(amount) > 1000:
        raise RefusedError(f"clearing refused {amount} EUR")
    return "settled"


def main() -> None:
    telemetry = mita_otel.configure(service_name="payments")
    CeleryInstrumentor().instrument()
    with start_worker(jobs, pool="solo", perform_ping_check=False):
        for number, amount in enumerate(["20.00", "5000.00"], 1):
            with financial_transaction_context(
                f"user-{number}", "order_payment", f"pay-{number}", amount, "EUR"
            ):
                job = settle.delay(f"user-{number}", amount)
            print(f"pay-{number}: {job.get(timeout=20, propagate=False)}")
    telemetry.shutdown()


if __name__ == "__main__":
    main()
