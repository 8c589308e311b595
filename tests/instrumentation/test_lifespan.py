"""Telemetry is flushed when the application has shut down and before its server hears of it."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Any

from mita_otel.instrumentation.lifespan import _flushing


async def test_flush_comes_before_the_servers_last_message_and_off_the_loop() -> None:
    order: list[Any] = []

    async def send(message: dict[str, Any]) -> None:
        order.append(message["type"])

    def flush() -> None:
        order.append(threading.current_thread() is threading.main_thread())

    flushing: Callable[[dict[str, Any]], Awaitable[None]] = _flushing(send, flush)
    for kind in ("lifespan.startup.complete", "lifespan.shutdown.complete"):
        await flushing({"type": kind})
    assert order == ["lifespan.startup.complete", False, "lifespan.shutdown.complete"]
