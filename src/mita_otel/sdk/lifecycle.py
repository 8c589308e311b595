"""The end of the process: no finished span is lost, and telemetry delays the end only within its deadline.

A server ends in many ways, and each skips some hooks: `atexit` does not run under SIGTERM (uvicorn raises it again),
gunicorn's workers replace signal handlers, and a child that ends with `os._exit` runs neither. So there are several
hooks, and flushing twice is cheap. Several may run at one end: they share one deadline.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import os
import time
from collections.abc import Callable

from mita_otel.errors import raise_interrupt
from mita_otel.instrumentation.asgi import watch_lifespan
from mita_otel.instrumentation.patches import Patches
from mita_otel.policy.runtime import LifecyclePolicy
from mita_otel.sdk.signal_hooks import SignalHooks

_logger = logging.getLogger("mita_otel")

# Before multiprocessing joins its own children and queues (which use 0 and below).
_EARLY = 100


class Lifecycle:
    """Flushes at the end of the process, however it ends.

    Args:
        policy: The deadlines, and whether signals are handled.
        flush: Called with the seconds it may take, when the process may be about to end.
        shutdown: Called with the seconds it may take, when the process ends. Both return whether they were in time.
        started: Called when an application has started to serve.
        clock: Monotonic seconds.
    """

    def __init__(
        self,
        policy: LifecyclePolicy,
        flush: Callable[[float], bool],
        shutdown: Callable[[float], bool],
        started: Callable[[], object] = lambda: None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._policy = policy
        self._flush = flush
        self._shutdown = shutdown
        self._started = started
        self._clock = clock
        self._left_s = policy.shutdown_timeout_s
        self._installed = False

    def install(self, patches: Patches) -> None:
        """Install the hooks: interpreter exit, ASGI lifespan, forked children, `os._exit`, signals."""
        self._installed = True
        patches.add(self._remove)
        atexit.register(self._at_exit)
        watch_lifespan(patches, self._started_quietly, self._flush_quietly)
        multiprocessing.util.register_after_fork(self, Lifecycle._in_child)
        patches.set(os, "_exit", self._flushing(os._exit))
        if self._policy.handle_signals:
            SignalHooks(self._flush_quietly, lambda: self._installed).install(patches)

    def _remove(self) -> None:
        self._installed = False
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        self._in_time(self._shutdown)

    def _started_quietly(self) -> None:
        try:
            self._started()
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("background work could not be started with the application", exc_info=True)

    def _flush_quietly(self) -> None:
        self._in_time(self._flush)

    def _flushing(self, leave: Callable[[int], object]) -> Callable[[int], object]:
        """Return `os._exit` with a flush before it. Pools of billiard, and so Celery, end their children with it."""

        def exit_after_flush(status: int) -> object:
            if self._installed:
                self._flush_quietly()
            return leave(status)

        return exit_after_flush

    def _in_time(self, end: Callable[[float], bool]) -> None:
        """Call it with the seconds that are left. Success restores all of them: the process may live on."""
        began_s, made_it = self._clock(), False
        try:
            made_it = end(self._left_s)
        except BaseException as error:
            raise_interrupt(error)
            _logger.debug("flush or shutdown failed", exc_info=True)
        left_s = self._left_s - (self._clock() - began_s)
        self._left_s = self._policy.shutdown_timeout_s if made_it else max(0.0, left_s)

    def _in_child(self) -> None:
        if self._installed:
            # multiprocessing's children end with os._exit after running their finalizers.
            multiprocessing.util.Finalize(None, self._flush_quietly, exitpriority=_EARLY)
