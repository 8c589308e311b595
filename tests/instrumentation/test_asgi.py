"""Start and end of the application are reported before the server's message, and off the event loop."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import pytest

from mita_otel.instrumentation.asgi import _reporting


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        (
            ["lifespan.startup.complete", "lifespan.shutdown.complete"],
            [
                "started: False",
                "lifespan.startup.complete",
                "flushed: False",
                "lifespan.shutdown.complete",
            ],
        ),
        (["lifespan.startup.failed"], ["flushed: False", "lifespan.startup.failed"]),
        (["lifespan.shutdown.failed"], ["flushed: False", "lifespan.shutdown.failed"]),
    ],
)
async def test_lifespan_callbacks_run_before_the_servers_message(
    kinds: list[str], expected: list[str]
) -> None:
    order: list[str] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        order.append(message["type"])

    def note(what: str) -> Callable[[], None]:
        return lambda: order.append(f"{what}: {threading.current_thread() is threading.main_thread()}")

    reporting: Callable[[MutableMapping[str, Any]], Awaitable[None]] = _reporting(
        send, note("started"), note("flushed")
    )
    for kind in kinds:
        await reporting({"type": kind})
    assert order == expected
