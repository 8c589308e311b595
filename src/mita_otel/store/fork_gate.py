"""Delays forks while SQLite is in use.

SQLite keeps a table of its locks in each process. A child that is forked while another thread holds a lock inherits the
table but not the thread, so the file stays locked in the child forever. A fork therefore waits, for a limited time, until
no thread uses SQLite.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from mita_otel.processors.queues.forks import FORKS


class ForkGate:
    """Excludes forks while threads are inside.

    Args:
        patience_s: Maximum seconds that a fork waits. Then it proceeds anyway.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._reset()
        FORKS.add(before=self._close, in_parent=self._open, in_child=self._reset)

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._forking = 0
        self._mine = threading.local()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Exclude forks by other threads."""
        mine = self._mine
        deep = getattr(mine, "deep", 0)
        with self._changed:
            # A thread that is inside may enter again; otherwise it and the fork would wait for each other.
            self._changed.wait_for(lambda: deep or not self._forking)
            self._inside += 1
        mine.deep = deep + 1
        try:
            yield
        finally:
            if self._mine is mine:  # false in a child whose parent was inside
                mine.deep = deep
                with self._changed:
                    self._inside -= 1
                    self._changed.notify_all()

    def _close(self) -> None:
        own = getattr(self._mine, "deep", 0)
        with self._changed:
            self._forking += 1
            self._changed.wait_for(lambda: self._inside <= own, self._patience_s)

    def _open(self) -> None:
        with self._changed:
            self._forking -= 1
            self._changed.notify_all()
