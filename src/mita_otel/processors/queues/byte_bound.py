"""Bounds the bytes of the items that wait in a queue, beside their number."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

from mita_otel.processors.queues.forks import ForkSafeLock, after_fork_in_child

T = TypeVar("T")


class ByteBound(Generic[T]):
    """Measures the items that wait. Thread-safe. A forked child starts with none, as its queue does.

    Args:
        size: Returns the size of an item in bytes, always the same. None: items are not measured.
        max_bytes: Size of the items that may wait.
    """

    def __init__(self, size: Callable[[T], int] | None, max_bytes: float) -> None:
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._lock = ForkSafeLock()
        after_fork_in_child(self._reset)

    def _reset(self) -> None:
        self._bytes = 0

    def admit(self, item: T) -> bool:
        """Count an item that begins to wait. Return False if it does not fit; an empty queue takes any item."""
        if self._size is None:
            return True
        size = self._size(item)
        with self._lock:
            if self._bytes and self._bytes + size > self._max_bytes:
                return False
            self._bytes += size
            return True

    def release(self, items: Iterable[T]) -> None:
        """Count items that no longer wait."""
        if self._size is not None:
            size = sum(map(self._size, items))
            with self._lock:
                self._bytes -= size
