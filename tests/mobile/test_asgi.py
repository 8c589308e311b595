"""The gateway over HTTP: slow and aggressive clients, and errors that cannot be stored."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from mita_otel.mobile import MobileApp
from mobile.kit import AUTH, ENVELOPE, MakeApp, client_of, recorded


async def test_a_client_above_its_rate_gets_retry_after_and_others_are_served(
    make: MakeApp,
) -> None:
    app = make(rate={"client_burst": 3, "client_per_minute": 1})
    async with client_of(app) as greedy, client_of(app, "203.0.113.8") as other:
        statuses = [
            (await greedy.post(ENVELOPE, content=recorded("session_start"), headers=AUTH)).status_code
            for _ in range(5)
        ]
        answer = await greedy.post(ENVELOPE, content=recorded("session_start"), headers=AUTH)
        assert statuses == [200, 200, 200, 429, 429]
        assert 1 <= int(answer.headers["retry-after"]) <= 61
        assert (
            await other.post(ENVELOPE, content=recorded("session_start"), headers=AUTH)
        ).status_code == 200


async def test_expensive_requests_use_up_the_rate_of_a_client_sooner(make: MakeApp) -> None:
    app = make(rate={"client_burst": 3, "client_per_minute": 1, "request_cpu_ms": 0.001})
    async with client_of(app) as client:
        statuses = [
            (await client.post(ENVELOPE, content=recorded("session_start"), headers=AUTH)).status_code
            for _ in range(2)
        ]
    assert statuses == [200, 429]


def request(app: MobileApp, receive: Callable[[], Awaitable[Any]], **headers: str) -> Awaitable[list[Any]]:
    """Call the application directly, without an HTTP client."""
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": ENVELOPE,
        "query_string": b"",
        "client": ("203.0.113.7", 1),
        "headers": [(name.encode(), value.encode()) for name, value in {**AUTH, **headers}.items()],
    }

    async def run() -> list[Any]:
        await app(scope, receive, send)
        return sent

    return run()


def reading(*parts: bytes, then: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    left = list(parts)

    async def receive() -> Any:
        if left:
            return {"type": "http.request", "body": left.pop(0), "more_body": True}
        return await then()

    return receive


def whole(body: bytes) -> Callable[[], Awaitable[Any]]:
    """Return a `receive` that sends the whole body, and then waits for the response as a client does."""
    left = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        return left.pop() if left else await _never()

    return receive


async def _never() -> Any:
    await asyncio.Event().wait()


async def _gone() -> Any:
    return {"type": "http.disconnect"}


async def test_a_body_that_does_not_arrive_in_time_is_a_408(make: MakeApp) -> None:
    app = make(intake={"read_timeout_s": 0.1})
    sent = await request(app, reading(b"{}", then=_never))
    assert sent[0]["status"] == 408
    assert (app.gateway.intake_budget.requests, app.gateway.intake_budget.bytes) == (0, 0)


async def test_a_disconnected_client_releases_its_budget(make: MakeApp) -> None:
    app = make()
    assert await request(app, reading(b"{}", then=_gone)) == []
    assert (app.gateway.intake_budget.requests, app.gateway.intake_budget.bytes) == (0, 0)


async def test_a_body_without_content_length_is_refused_at_the_limit(make: MakeApp) -> None:
    app = make(intake={"max_request_megabytes": 1})
    read = 0

    async def receive() -> Any:
        nonlocal read
        read += 100_000
        return {"type": "http.request", "body": b"x" * 100_000, "more_body": True}

    sent = await request(app, receive)
    assert sent[0]["status"] == 413
    assert read == 1_100_000


async def test_a_content_length_above_the_limit_is_refused_before_reading(make: MakeApp) -> None:
    sent = await request(make(), _never, **{"content-length": "99999999999"})
    assert sent[0]["status"] == 413


@pytest.mark.parametrize("length", ["-1", "x", "", "1e3", "9" * 400])
async def test_an_invalid_content_length_is_ignored_or_refused(make: MakeApp, length: str) -> None:
    sent = await request(make(), reading(then=_gone), **{"content-length": length})
    assert sent == [] or sent[0]["status"] == 413


async def test_concurrent_requests_are_bounded_and_the_next_one_waits(make: MakeApp) -> None:
    app = make(intake={"max_in_flight": 1, "wait_s": 60, "evict_after_s": 60})
    release = asyncio.Event()
    late = whole(recorded("logs"))

    async def slow() -> Any:
        await release.wait()
        return await late()

    quick = whole(recorded("logs"))
    first = asyncio.ensure_future(request(app, slow))
    await asyncio.sleep(0)
    second = asyncio.ensure_future(request(app, quick))
    done, _ = await asyncio.wait({second}, timeout=0.1)
    assert not done
    release.set()
    assert [(await one)[0]["status"] for one in (first, second)] == [200, 200]


async def test_a_busy_gateway_leaves_the_data_with_the_app(make: MakeApp) -> None:
    app = make(intake={"max_in_flight": 1, "wait_s": 0.1}, spool={"max_held": 1, "hold_s": 0.2})
    first = asyncio.ensure_future(request(app, _never))
    await asyncio.sleep(0)
    # Held until the client disconnects: no response.
    assert await request(app, reading(b"x", then=_gone)) == []
    # Held for longer than the policy allows: a response.
    sent = await request(app, _never)
    assert (sent[0]["status"], dict(sent[0]["headers"])[b"retry-after"]) == (429, b"10")
    first.cancel()


async def test_bytes_are_counted_when_they_arrive(make: MakeApp) -> None:
    app = make(intake={"max_in_flight_megabytes": 1, "wait_s": 0}, spool={"max_held": 1, "hold_s": 0.01})
    first = asyncio.ensure_future(
        request(app, reading(b"x" * 900_000, then=_never), **{"content-length": "1000000"})
    )
    async with asyncio.timeout(60):
        while app.gateway.intake_budget.bytes < 900_000:
            await asyncio.sleep(0)
    assert (await request(app, whole(recorded("logs"))))[0]["status"] == 200
    grown = await request(app, reading(b"x" * 200_000, then=_never))
    assert grown[0]["status"] == 429
    first.cancel()
    await asyncio.wait({first})
    assert app.gateway.intake_budget.bytes == 0


async def test_slow_clients_that_announce_large_bodies_do_not_block_others(make: MakeApp) -> None:
    app = make(intake={"wait_s": 0}, spool={"max_held": 1, "hold_s": 0.01})
    slow = [
        asyncio.ensure_future(request(app, reading(b"x", then=_never), **{"content-length": "16000000"}))
        for _ in range(4)
    ]
    async with asyncio.timeout(60):
        while app.gateway.intake_budget.requests < 4:
            await asyncio.sleep(0)
    replies = [await request(app, whole(recorded("logs"))) for _ in range(10)]
    assert [reply[0]["status"] for reply in replies] == [200] * 10
    for one in slow:
        one.cancel()


async def test_a_body_below_the_minimum_rate_is_refused(make: MakeApp) -> None:
    app = make(intake={"min_bytes_per_s": 1000, "rate_window_s": 0.1})
    sent = await request(app, reading(b"x" * 50, then=_never))
    assert sent[0]["status"] == 408
    assert (app.gateway.intake_budget.requests, app.gateway.intake_budget.bytes) == (0, 0)


async def test_an_error_that_cannot_be_stored_gets_no_response_so_the_app_retries(
    make: MakeApp,
) -> None:
    app = make(spool={"max_records": 1, "hold_s": 20})
    whole = recorded("payment_error")

    def body() -> Callable[[], Awaitable[Any]]:
        parts = [{"type": "http.request", "body": whole, "more_body": False}, {"type": "http.disconnect"}]

        async def receive() -> Any:
            return parts.pop(0)

        return receive

    assert (await request(app, body()))[0]["status"] == 200
    assert await request(app, body()) == []


async def test_the_number_of_requests_held_without_a_response_is_bounded(make: MakeApp) -> None:
    app = make(spool={"max_records": 1, "hold_s": 20, "max_held": 1})
    whole = recorded("payment_error")
    done = asyncio.Event()

    def body() -> Callable[[], Awaitable[Any]]:
        parts = [whole]

        async def receive() -> Any:
            if parts:
                return {"type": "http.request", "body": parts.pop(), "more_body": False}
            await done.wait()
            return {"type": "http.disconnect"}

        return receive

    await request(app, body())
    held = asyncio.ensure_future(request(app, body()))
    while app._held == 0:
        await asyncio.sleep(0.01)
    assert (await request(app, body()))[0]["status"] == 503
    done.set()
    assert await held == []


async def test_without_an_engine_the_response_is_503_with_retry_after(
    make: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = make(spool={"hold_s": 0.05})
    monkeypatch.setattr(app.gateway, "_running", lambda: 1 / 0)
    async with client_of(app) as client:
        answer = await client.post(ENVELOPE, content=recorded("payment_error"), headers=AUTH)
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "60")
