"""No fork while SQLite is at work.

SQLite keeps a table of its locks for each process. A child that is forked while another thread holds a lock
inherits the table but not the thread: to the child, the file stays locked for ever. So a fork waits until
nobody is inside, for a while.
"""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Iterator
from contextlib import contextmanager


class ForkGate:
    """Lets either users in or forks through.

    Args:
        patience_s: Seconds that a fork waits for those inside. Then it goes through all the same.
    """

    def __init__(self, patience_s: float) -> None:
        self._patience_s = patience_s
        self._reset()
        if hasattr(os, "register_at_fork"):
            mine = weakref.ref(self)

            def before() -> None:
                if (gate := mine()) is not None:
                    gate._close()

            def after_in_parent() -> None:
                if (gate := mine()) is not None:
                    gate._open()

            def after_in_child() -> None:
                if (gate := mine()) is not None:
                    gate._reset()

            os.register_at_fork(before=before, after_in_parent=after_in_parent, after_in_child=after_in_child)

    def _reset(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._forking = 0
        self._mine = threading.local()

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Be inside: no other thread forks meanwhile."""
        mine = self._mine
        deep = getattr(mine, "deep", 0)
        with self._changed:
            # Whoever is inside may go further in, or the fork would wait for them and they for it.
            self._changed.wait_for(lambda: deep or not self._forking)
            self._inside += 1
        mine.deep = deep + 1
        try:
            yield
        finally:
            if self._mine is mine:  # not a child's, whose parent was inside
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
