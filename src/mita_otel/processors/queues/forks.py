"""A forked child has a copy of what its parent held, and none of its threads: it starts anew."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable
from typing import Any

import wrapt


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


def after_monkey_patch(method: Callable[[], None]) -> None:
    """Call a bound method when gevent has patched the standard library, for as long as its object lives.

    A lock that was made before blocks every greenlet of the process; a service that is launched by
    `opentelemetry-instrument gunicorn -k gevent` is patched after it was configured.

    Args:
        method: A bound method; its object is not kept alive.
    """
    reference = weakref.WeakMethod(method)

    def subscribe(events: Any) -> None:
        def told(event: object) -> None:
            alive = reference() if isinstance(event, events.GeventDidPatchAllEvent) else None
            if alive is not None:
                alive()

        events.subscribers.append(told)

    wrapt.register_post_import_hook(subscribe, "gevent.events")


class ForkSafeLock:
    """A re-entrant lock that a forked child finds free: the thread that held it in the parent is not there."""

    def __init__(self) -> None:
        self._renew()
        after_fork_in_child(self._renew)
        after_monkey_patch(self._renew)

    def _renew(self) -> None:
        self._lock = threading.RLock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()
