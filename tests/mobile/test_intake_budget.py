"""The budget counts bytes as they arrive, gives each client a share, and refuses the slowest body first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from mita_otel.mobile.intake_budget import IntakeBudget, IntakeBusy, Reservation
from mita_otel.policy import default_policy
from mobile.kit import policy_with

ONE, OTHER = "203.0.113.1", "203.0.113.2"


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def budget(clock: Clock | None = None, **changes: Any) -> IntakeBudget:
    return IntakeBudget(policy_with(intake={"wait_s": 0, **changes}).mobile.intake, clock or Clock())


async def test_a_request_that_announces_bytes_uses_none_of_the_budget() -> None:
    one = budget()
    reservation = await one.reserve(ONE)
    assert (one.requests, one.bytes) == (1, 0)
    reservation.arrived(10)
    assert one.bytes == 10
    reservation.release()
    assert (one.requests, one.bytes) == (0, 0)


@pytest.mark.parametrize(
    ("other", "accepted"),
    [(ONE, False), (OTHER, True), ("2001:db8::1", True), (f"::ffff:{ONE}", False)],
)
async def test_one_client_cannot_use_all_requests(other: str, accepted: bool) -> None:
    one = budget(max_client_in_flight=2)
    for _ in range(2):
        await one.reserve(ONE)
    if accepted:
        await one.reserve(other)
        return
    with pytest.raises(IntakeBusy):
        await one.reserve(other)


async def test_addresses_of_one_ipv6_64_network_are_one_client() -> None:
    one = budget(max_client_in_flight=1)
    await one.reserve("2001:db8:0:1::1")
    with pytest.raises(IntakeBusy):
        await one.reserve("2001:db8:0:1:ffff::2")
    await one.reserve("2001:db8:0:2::1")


async def test_one_client_cannot_use_all_bytes() -> None:
    one = budget(max_in_flight_megabytes=10, max_client_megabytes=2)
    first, second = await one.reserve(ONE), await one.reserve(ONE)
    first.arrived(1_500_000)
    with pytest.raises(IntakeBusy):
        second.arrived(600_000)
    (await one.reserve(OTHER)).arrived(1_900_000)


async def test_a_single_request_may_exceed_its_clients_share() -> None:
    one = budget(max_in_flight_megabytes=10, max_client_megabytes=2)
    (await one.reserve(ONE)).arrived(5_000_000)
    assert one.bytes == 5_000_000


async def test_bytes_of_all_clients_are_bounded() -> None:
    one = budget(max_in_flight_megabytes=2, max_client_megabytes=2)
    (await one.reserve(ONE)).arrived(1_500_000)
    with pytest.raises(IntakeBusy):
        (await one.reserve(OTHER)).arrived(600_000)


async def test_a_clients_budget_is_released_after_its_requests() -> None:
    one = budget(max_client_in_flight=1, max_client_megabytes=1)
    for _ in range(3):
        reservation = await one.reserve(ONE)
        reservation.arrived(900_000)
        reservation.release()
    assert (one.requests, one.bytes) == (0, 0)


async def test_each_window_needs_the_minimum_rate_regardless_of_earlier_bytes() -> None:
    clock = Clock()
    reservation = await budget(clock, min_bytes_per_s=100, rate_window_s=5).reserve(ONE)
    assert reservation.seconds_left == 5
    clock.now += 1
    reservation.arrived(1_000_000)
    assert reservation.seconds_left == 5
    clock.now += 4
    reservation.arrived(499)
    assert reservation.seconds_left == 1
    reservation.arrived(1)
    assert reservation.seconds_left == 5


async def _read(reservation: Reservation) -> str:
    try:
        async with asyncio.timeout(60) as timeout, reservation.reading(timeout):
            await asyncio.Event().wait()
    except TimeoutError:
        return "evicted"
    return "read"


async def test_a_full_budget_evicts_the_slowest_body_for_a_new_request() -> None:
    clock = Clock()
    one = budget(clock, max_in_flight=3, wait_s=60, evict_after_s=1)
    bodies = [await one.reserve(f"203.0.113.{number}") for number in range(3)]
    tasks = [asyncio.ensure_future(_read(body)) for body in bodies]
    await asyncio.sleep(0)
    clock.now += 2
    for body, size in zip(bodies, (5000, 1, 9000), strict=True):
        body.arrived(size)

    def release(task: asyncio.Task[str]) -> None:
        bodies[tasks.index(task)].release()

    tasks[1].add_done_callback(release)
    await one.reserve(OTHER)
    assert await tasks[1] == "evicted"
    assert not tasks[0].done()
    assert not tasks[2].done()
    for task in (tasks[0], tasks[2]):
        task.cancel()


async def test_a_new_body_is_not_evicted() -> None:
    clock = Clock()
    one = budget(clock, max_in_flight=1, evict_after_s=1)
    body = await one.reserve(ONE)
    task = asyncio.ensure_future(_read(body))
    await asyncio.sleep(0)
    clock.now += 0.5
    with pytest.raises(IntakeBusy):
        await one.reserve(OTHER)
    assert not task.done()
    task.cancel()


def test_by_default_one_client_cannot_use_the_whole_budget() -> None:
    intake = default_policy().mobile.intake
    assert intake.max_client_in_flight < intake.max_in_flight
    assert intake.max_client_megabytes < intake.max_in_flight_megabytes
