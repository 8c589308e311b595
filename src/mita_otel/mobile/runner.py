"""Where the engine runs: on threads of this process."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from mita_otel.mobile.engine import Engine
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import EngineStatus, Reply


class EngineGoneError(Exception):
    """The engine ended before it answered."""


class Runner(Protocol):
    """Runs an engine somewhere. Nothing here blocks but `status`, `flush` and `stop`."""

    def submit(self, intake: Intake, /) -> Future[Reply]:
        """Let the engine take a request."""

    def status(self) -> EngineStatus | None:
        """Return what happened since the last time; None: the engine is gone."""

    def flush(self, timeout_s: float, /) -> bool:
        """Wait until nothing is left that may go now. False if that took too long."""

    def stop(self, timeout_s: float, /) -> bool:
        """Flush, then end. False if that took too long."""


class ThreadRunner:
    """Runs an engine on threads of this process.

    Args:
        engine: The engine.
        threads: Requests at the same time.
    """

    def __init__(self, engine: Engine, threads: int) -> None:
        self._engine = engine
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="mita-otel-mobile-take")

    def submit(self, intake: Intake) -> Future[Reply]:
        """Let the engine take a request."""
        return self._pool.submit(self._engine.take, intake)

    def status(self) -> EngineStatus | None:
        """Return what happened since the last time."""
        return self._engine.status()

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is left that may go now. False if that took too long."""
        return self._engine.flush(timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Flush, then end. False if that took too long."""
        stopped = self._engine.stop(timeout_s)
        self._pool.shutdown(wait=False, cancel_futures=True)
        return stopped
