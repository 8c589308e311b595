"""A forked child has a copy of what its parent held, and none of its threads: it starts anew."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable


def after_fork_in_child(method: Callable[[], None]) -> None:
    """Call a bound method in every forked child, for as long as its object lives.

    Args:
        method: A bound method; its object is not kept alive.
    """
    if not hasattr(os, "register_at_fork"):
        return
    reference = weakref.WeakMethod(method)

    def call() -> None:
        alive = reference()
        if alive is not None:
            alive()

    os.register_at_fork(after_in_child=call)


class ForkSafeLock:
    """A re-entrant lock that a forked child finds free: the thread that held it in the parent is not there."""

    def __init__(self) -> None:
        self._renew()
        after_fork_in_child(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()
