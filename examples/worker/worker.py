"""A worker that settles payments from a queue and runs a nightly job."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from decimal import Decimal
from queue import Empty, Queue

from opentelemetry import trace
from opentelemetry.trace import SpanKind
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.pool import StaticPool

import mita_otel
from mita_otel import semconv

logger = logging.getLogger("worker")
tracer = trace.get_tracer("worker")


@dataclass(frozen=True)
class Payment:
    """A payment to settle."""

    id: str
    card_number: str
    amount: Decimal
    clearing_takes_s: float = 0.02


class RefusedError(Exception):
    """The clearing house refuses a payment."""


def settle(payment: Payment, engine: Engine) -> None:
    """Settle a payment, as a named financial operation with searchable attributes."""
    attributes = {
        semconv.OPERATION: "payment_processing",
        semconv.TRANSACTION_ID: payment.id,
        semconv.AMOUNT: str(payment.amount),
        semconv.CURRENCY: "EUR",
        semconv.SEVERITY: "critical",
    }
    with tracer.start_as_current_span("settle payment", kind=SpanKind.CONSUMER, attributes=attributes):
        time.sleep(payment.clearing_takes_s)
        if payment.amount > 1000:
            raise RefusedError(f"clearing refused card {payment.card_number}: amount too high")
        with engine.begin() as connection:
            connection.execute(
                text("INSERT INTO settled (id, card, amount) VALUES (:id, :card, :amount)"),
                {"id": payment.id, "card": payment.card_number, "amount": str(payment.amount)},
            )


def close_the_day(engine: Engine) -> None:
    """Run the nightly job, with the limit of background tasks."""
    attributes = {semconv.OPERATION: "close_the_day", semconv.OPERATION_KIND: "background"}
    with tracer.start_as_current_span("close the day", attributes=attributes), engine.begin() as connection:
        connection.execute(text("SELECT count(*), sum(amount) FROM settled"))


def work(queue: Queue[Payment], engine: Engine) -> None:
    """Settle all queued payments. A refused payment does not stop the others."""
    while True:
        try:
            payment = queue.get_nowait()
        except Empty:
            return
        try:
            settle(payment, engine)
        except RefusedError:
            logger.warning("payment %s was refused", payment.id)


def main() -> None:
    telemetry = mita_otel.configure(service_name="payments-worker")
    try:
        engine = create_engine("sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False})
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE settled (id TEXT PRIMARY KEY, card TEXT, amount TEXT)"))
        queue: Queue[Payment] = Queue()
        queue.put(Payment("pay-1", "4111111111111111", Decimal("25.00")))
        queue.put(Payment("pay-2", "5555555555554444", Decimal("80.00"), clearing_takes_s=1.25))
        queue.put(Payment("pay-3", "378282246310005", Decimal("9000.00")))
        work(queue, engine)
        close_the_day(engine)
    finally:
        telemetry.shutdown()


if __name__ == "__main__":
    main()
