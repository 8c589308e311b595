"""Runs the engine on threads of this process."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from mita_otel.mobile.engine import Engine
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import EngineStatus, Reply


class EngineGoneError(Exception):
    """The engine ended before it answered."""


class Runner(Protocol):
    """Runs an engine. Only `status`, `flush` and `stop` block."""

    def submit(self, intake: Intake, /) -> Future[Reply]:
        """Pass a request to the engine."""

    def status(self) -> EngineStatus | None:
        """Return the engine's status. None: the engine has ended."""

    def flush(self, timeout_s: float, /) -> bool:
        """Wait until no record is left that may be sent now. False if that takes too long."""

    def stop(self, timeout_s: float, /) -> bool:
        """Flush, then stop. False if flushing takes too long."""


class ThreadRunner:
    """Runs an engine on threads of this process.

    Args:
        engine: The engine.
        threads: Maximum number of concurrent requests.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mita-otel-mobile-take")

    def submit(self, intake: Intake) -> Future[Reply]:
        """Pass a request to the engine."""
        return self._pool.submit(self._engine.take, intake)

    def status(self) -> EngineStatus | None:
        """Return the engine's status."""
        return self._engine.status()

    def flush(self, timeout_s: float) -> bool:
        """Wait until no record is left that may be sent now. False if that takes too long."""
        return self._engine.flush(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Flush, then stop. False if flushing takes too long."""
        stopped = self._engine.stop(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return stopped
