"""Hooks for forks. A forked child has a copy of its parent's memory but not its threads, so it resets its state."""

from __future__ import annotations

import itertools
import logging
import os
import threading
import weakref
from collections.abc import Callable
from typing import Any, Final

import wrapt

from mita_otel.errors import raise_interrupt

_logger = logging.getLogger("mita_otel")

Method = Callable[[], None]


class _Methods:
    """Bound methods to call at an event while their objects live. It does not keep the objects alive."""

    def __init__(self) -> None:
        self._methods: dict[int, weakref.WeakMethod[Method]] = {}
        self._numbers = itertools.count()

    def add(self, method: Method) -> None:
        """Add a bound method."""
        number = next(self._numbers)
        self._methods[number] = weakref.WeakMethod(method, lambda _: self._methods.pop(number, None))

    def call(self) -> None:
        """Call the methods of living objects, in the order in which they were added."""
        for reference in list(self._methods.values()):
            method = reference()
            if method is not None:
                try:
                    method()
                except BaseException as error:
                    raise_interrupt(error)
                    _logger.exception("%r failed", method)


class ForkHooks:
    """Calls methods of living objects before and after each fork of the process.

    Python cannot remove a fork hook. So the process has one hook, and methods are removed together with their object.
    """

    def __init__(self) -> None:
        self._before, self._in_parent, self._in_child = _Methods(), _Methods(), _Methods()
        self._installed = False

    def add(
        self, *, before: Method | None = None, in_parent: Method | None = None, in_child: Method | None = None
    ) -> None:
        """Add bound methods of an object.

        Args:
            before: Called in the parent before a fork.
            in_parent: Called in the parent after it.
            in_child: Called in the child.
        """
        for methods, method in (
            (self._before, before),
            (self._in_parent, in_parent),
            (self._in_child, in_child),
        ):
            if method is not None:
                methods.add(method)
        if not self._installed and hasattr(os, "register_at_fork"):
            self._installed = True
            os.register_at_fork(
                before=self._before.call,
                after_in_parent=self._in_parent.call,
                after_in_child=self._in_child.call,
            )


FORKS: Final = ForkHooks()
"""The hooks of this process."""


def after_fork_in_child(method: Method) -> None:
    """Call a bound method in every forked child while its object lives."""
    FORKS.add(in_child=method)


class _MonkeyPatchHooks:
    """Calls methods of living objects when gevent has patched the standard library."""

    def __init__(self) -> None:
        self._methods = _Methods()
        self._installed = False

    def add(self, method: Method) -> None:
        """Add a bound method."""
        self._methods.add(method)
        if not self._installed:
            self._installed = True
            wrapt.register_post_import_hook(self._subscribe, "gevent.events")

    def _subscribe(self, events: Any) -> None:
        def notify(event: object) -> None:
            if isinstance(event, events.GeventDidPatchAllEvent):
                self._methods.call()

        events.subscribers.append(notify)


_MONKEY_PATCHES: Final = _MonkeyPatchHooks()


def after_monkey_patch(method: Method) -> None:
    """Call a bound method when gevent has patched the standard library, while its object lives.

    A lock that was created before blocks every greenlet of the process. `opentelemetry-instrument gunicorn -k gevent`
    configures a service before gevent patches it.
    """
    _MONKEY_PATCHES.add(method)


class ForkSafeLock:
    """A re-entrant lock that is free in a forked child: the thread that held it in the parent does not exist there."""

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
