"""Log records at the end of the process: sent beside spans, not after them, by the same deadline."""

from __future__ import annotations

from collections.abc import Sequence

from opentelemetry.sdk._logs import LoggerProvider

from mita_otel.processors.queues.log_queue import LogQueue


class DeadlinedLogs:
    """Flushes and ends a LoggerProvider; its queues can be told beforehand to hurry.

    Args:
        provider: The provider.
        queues: Those of its exporters.
    """

    def __init__(self, provider: LoggerProvider, queues: Sequence[LogQueue]) -> None:
        self._provider = provider
        self._queues = tuple(queues)

    def hurry(self, timeout_millis: int) -> None:
        """Ask for an export of everything that waits, without waiting for it."""
        for queue in self._queues:
            queue.hurry(timeout_millis)

    def force_flush(self, timeout_millis: int = 30000, /) -> bool:
        """Export everything that waits. False if that took too long."""
        return self._provider.force_flush(timeout_millis)

    def cut_off(self) -> None:
        """Count what waits as lost: the deadline is over."""
        for queue in self._queues:
            queue.cut_off()

    def shutdown(self) -> None:
        """End the provider."""
        self._provider.shutdown()
