"""A job continues the trace and the transaction of its caller, and its context ends with it."""

from __future__ import annotations

import queue
import threading
from typing import Any

from opentelemetry import context

from finance.asgi import request
from finance.recording import Recording
from mita_otel import (
    FinancialSentryMiddleware,
    context_to_carry,
    continue_context,
    financial_operation_monitor,
    financial_transaction_context,
    set_financial_user,
)


@financial_operation_monitor("settle")
def settle() -> None:
    set_financial_user("the job's")


def test_a_job_continues_the_trace_and_the_transaction(recording: Recording) -> None:
    jobs: queue.Queue[dict[str, str] | None] = queue.Queue()

    def work() -> None:
        while (carrier := jobs.get()) is not None:
            with continue_context(carrier):
                settle()
        settle()

    worker = threading.Thread(target=work)
    worker.start()
    for number in range(2):
        with financial_transaction_context("u-1", "order", f"tx-{number}"):
            jobs.put(context_to_carry())
    jobs.put(None)
    worker.join()
    orders = [span for span in recording.spans if span.name == "order"]
    first, second, alone = [span for span in recording.spans if span.name == "settle"]
    for order, job, transaction in ((orders[0], first, "tx-0"), (orders[1], second, "tx-1")):
        assert order.context is not None
        assert job.parent is not None
        assert job.parent.span_id == order.context.span_id
        assert (job.attributes or {})["mita.transaction.id"] == transaction
    assert alone.parent is None
    assert "mita.transaction.id" not in (alone.attributes or {})


def test_a_job_does_not_inherit_the_context_of_its_worker(recording: Recording) -> None:
    set_financial_user("the worker's")
    before = context.get_current()
    with continue_context(None), recording.tracer.start_as_current_span("job"):
        pass
    assert dict(recording.span("job").attributes or {}) == {}
    assert context.get_current() is before


async def test_a_worker_started_by_a_request_is_not_part_of_it(recording: Recording) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        with continue_context(None), recording.tracer.start_as_current_span("job"):
            pass
        with recording.tracer.start_as_current_span("request's own"):
            pass

    await request(FinancialSentryMiddleware(app), state={"user": "u-1"})
    assert dict(recording.span("job").attributes or {}) == {}
    assert dict(recording.span("request's own").attributes or {})["user.id"] == "u-1"


def test_without_configuration_the_carrier_is_empty() -> None:
    assert context_to_carry() == {}
    with continue_context({"traceparent": "no such thing"}):
        pass
