"""Two hundred concurrent units of work, each with a separate user and transaction: no context leaks."""

from __future__ import annotations

import asyncio
import contextvars
import json
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, Request
from starlette.concurrency import run_in_threadpool

from finance.asgi import request
from finance.recording import Recording
from mita_otel import (
    FinancialSentryMiddleware,
    UserContext,
    add_financial_breadcrumb,
    capture_financial_error,
    clear_user,
    financial_operation_monitor,
    financial_transaction_context,
    set_compliance_context,
    set_financial_user,
    set_security_context,
    set_transaction,
)

MANY = 200


def numbers_in(value: Any) -> Iterator[str]:
    """Yield every number after a dash: `u-7`, `tx-7`, `crumb-7`."""
    if isinstance(value, dict) or hasattr(value, "items"):
        for member in value.values():
            yield from numbers_in(member)
    elif isinstance(value, list | tuple):
        for member in value:
            yield from numbers_in(member)
    elif isinstance(value, str) and "-" in value:
        tail = value.rpartition("-")[2]
        if tail.isdigit():
            yield tail


def assert_no_leak(recording: Recording, at_least: int) -> None:
    """Assert that each span and log record contains one number only."""
    telemetry = [dict(span.attributes or {}) for span in recording.spans]
    telemetry += [dict(record.log_record.attributes or {}) for record in recording.records]
    known = 0
    for one in telemetry:
        one.pop("exception.stacktrace", None)
        found = set(numbers_in(one))
        assert len(found) <= 1, one
        known += len(found)
    assert known >= at_least


def everything(recording: Recording, number: int, pause: Callable[[], object]) -> None:
    """Use the whole API for one user, with a pause between any two steps."""
    steps: list[Callable[[], object]] = [
        lambda: set_financial_user(UserContext(f"u-{number}", subscription_tier=f"tier-{number}")),
        lambda: add_financial_breadcrumb(f"crumb-{number}", data={"of": f"u-{number}"}),
        lambda: set_transaction(f"tx-{number}", amount=number, currency="JPY", channel=f"channel-{number}"),
        lambda: set_compliance_context(f"rule-{number}", status="violation", details={"of": f"u-{number}"}),
        lambda: set_security_context(f"event-{number}", "high", {"ip_address": f"address-{number}"}),
        lambda: capture_financial_error(ValueError(f"error-{number}")),
    ]
    for step in steps:
        step()
        pause()
        with recording.tracer.start_as_current_span("step"):
            pause()


def test_threads_do_not_share_context(recording: Recording) -> None:
    together = threading.Barrier(20)

    def work(number: int) -> None:
        with recording.tracer.start_as_current_span("job"):
            everything(recording, number, lambda: together.wait(30))

    with ThreadPoolExecutor(20) as pool:  # threads are reused: a job must not see context of the previous one
        list(pool.map(work, range(MANY)))
    assert_no_leak(recording, MANY * 10)


def test_a_reused_thread_has_no_user_of_its_previous_job(recording: Recording) -> None:
    with ThreadPoolExecutor(1) as pool:

        @financial_operation_monitor("job")
        def known() -> None:
            set_financial_user("u-1")
            add_financial_breadcrumb("crumb-1")

        @financial_operation_monitor("job")
        def unknown() -> None:
            capture_financial_error(ValueError("x"))

        pool.submit(known).result()
        pool.submit(unknown).result()
    assert "user.id" not in recording.error
    assert "mita.breadcrumbs" not in recording.error


async def test_tasks_do_not_share_context(recording: Recording) -> None:
    async def work(number: int) -> None:
        async with financial_transaction_context(f"u-{number}", "pay", f"tx-{number}"):
            for step in range(5):
                await asyncio.sleep(0)
                add_financial_breadcrumb(f"crumb-{number}")
                if step == 2:
                    set_financial_user(UserContext(f"u-{number}"))
                await asyncio.to_thread(contextvars.copy_context().run, in_thread, number)
            capture_financial_error(ValueError(f"error-{number}"))
            clear_user()

    def in_thread(number: int) -> None:
        with recording.tracer.start_as_current_span("in thread"):
            set_compliance_context(f"rule-{number}")

    async with financial_transaction_context(operation="batch"):
        await asyncio.gather(*(work(number) for number in range(MANY)))
    assert_no_leak(recording, MANY * 7)


async def test_tasks_of_one_request_have_separate_users(recording: Recording) -> None:
    """A batch of payouts: the request has one user, and each task another one."""

    async def work(number: int) -> None:
        async with financial_transaction_context(f"u-{number}", "payout", f"tx-{number}"):
            await asyncio.sleep(0)
            with recording.tracer.start_as_current_span("query"):
                await asyncio.sleep(0)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.gather(*(work(number) for number in range(MANY)))

    await request(FinancialSentryMiddleware(app))
    assert_no_leak(recording, MANY * 2)


def service(recording: Recording, together: Callable[[], Awaitable[None]]) -> FastAPI:
    app = FastAPI(telemetry={"tracing": False, "metrics": False, "logs": False})

    def signed_in(incoming: Request) -> str:
        user = incoming.headers["x-user"]
        set_financial_user(UserContext(user))
        return user

    @app.post("/payments/{payment_id}")
    async def pay(
        payment_id: str, tasks: BackgroundTasks, incoming: Request, user: str = Depends(signed_in)
    ) -> str:
        number = user.rpartition("-")[2]
        await together()
        await incoming.json()
        add_financial_breadcrumb(f"crumb-{number}")
        await run_in_threadpool(query)
        await together()
        async with financial_transaction_context(operation="settle", transaction_id=f"tx-{number}"):
            await asyncio.gather(*(asyncio.create_task(query_later()) for _ in range(3)))
            capture_financial_error(ValueError(f"error-{number}"))
        tasks.add_task(query)
        if int(number) % 3 == 0:
            raise ValueError(f"unhandled-{number}")
        return user

    async def query_later() -> None:
        await asyncio.sleep(0)
        query()

    def query() -> None:
        with recording.tracer.start_as_current_span("query"):
            pass

    app.add_middleware(FinancialSentryMiddleware)
    return app


async def test_requests_do_not_share_context(recording: Recording) -> None:
    waiting = asyncio.Event()
    arrived = 0

    async def together() -> None:
        nonlocal arrived, waiting
        arrived += 1
        if arrived == MANY:
            arrived = 0
            waiting.set()
            waiting = asyncio.Event()
        else:
            await waiting.wait()

    app = service(recording, together)

    async def ask(number: int) -> str:
        body = json.dumps({"transaction_id": f"tx-{number}"}).encode()
        headers = [
            ("x-user", f"u-{number}"),
            ("content-type", "application/json"),
            ("x-request-id", f"req-{number}"),
        ]
        try:
            answer = await request(app, "POST", f"/payments/pay-{number}", headers, [body])
        except ValueError as error:
            return str(error)
        return str(json.loads(answer.body))

    answers = await asyncio.gather(*(ask(number) for number in range(MANY)))
    assert answers == [f"unhandled-{n}" if n % 3 == 0 else f"u-{n}" for n in range(MANY)]
    assert_no_leak(recording, MANY * 6)
    assert len(recording.events()) == MANY + len(range(0, MANY, 3))
    for captured in recording.events():
        assert [crumb["message"] for crumb in captured["mita.breadcrumbs"]] == [
            f"crumb-{captured['user.id'].rpartition('-')[2]}"
        ]


@pytest.mark.parametrize("leak", ["a global user", "a shared context"])
async def test_the_check_detects_a_leak(recording: Recording, leak: str) -> None:
    async def work(number: int) -> None:
        set_financial_user(f"u-{number}")
        await asyncio.sleep(0)
        other = number if leak == "a global user" else number + 1
        with recording.tracer.start_as_current_span("query", attributes={"of": f"x-{other}"}):
            if leak == "a global user":
                set_transaction(f"tx-{number + 1}")

    await asyncio.gather(*(work(number) for number in range(3)))
    with pytest.raises(AssertionError):
        assert_no_leak(recording, 1)
