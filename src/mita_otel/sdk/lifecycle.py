"""How the process ends: no finished span is lost, and telemetry holds nobody up.

A server ends in many ways, and each skips some of the others' hooks: `atexit` does not run under SIGTERM
(uvicorn raises it again), a signal handler does not survive in gunicorn's workers, and a forked child that
ends with `os._exit` (multiprocessing) runs neither. So there are four hooks, and flushing twice is cheap. Several of
them may run at one end: what one has waited for in vain, the next does not wait for again.
"""

from __future__ import annotations

import atexit
import logging
import multiprocessing.util
import os
import signal
import threading
import time
from collections.abc import Callable
from types import FrameType

from mita_otel.instrumentation.lifespan import watch_lifespan
from mita_otel.policy.runtime import LifecyclePolicy

_logger = logging.getLogger("mita_otel")

# Before multiprocessing joins its own children and queues (which use 0 and below).
_EARLY = 100


class Lifecycle:
    """Flushes at the end of the process, however it ends.

    Args:
        policy: The deadlines, and whether signals are handled.
        flush: Called with the seconds it may take, when the process may be about to end.
        shutdown: Called with the seconds it may take, when the process ends. Both return whether they made it.
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

    def install(self) -> None:
        """Install the hooks: interpreter exit, ASGI lifespan, forked children, SIGTERM."""
        atexit.register(self._at_exit)
        watch_lifespan(self._started_quietly, self._flush_quietly)
        multiprocessing.util.register_after_fork(self, Lifecycle._in_child)
        if self._policy.handle_signals:
            self._chain(signal.SIGTERM)

    def remove(self) -> None:
        """Forget the interpreter's exit; the other hooks find nothing left to flush."""
        atexit.unregister(self._at_exit)

    def _at_exit(self) -> None:
        self._in_time(self._shutdown)

    def _started_quietly(self) -> None:
        try:
            self._started()
        except Exception:
            _logger.debug("what starts with the application could not be started", exc_info=True)

    def _flush_quietly(self) -> None:
        self._in_time(self._flush)

    def _in_time(self, end: Callable[[float], bool]) -> None:
        """Call it with the seconds that are left; success gives all of them back: the process may go on."""
        began_s, made_it = self._clock(), False
        try:
            made_it = end(self._left_s)
        except Exception:
            _logger.debug("flush or shutdown failed", exc_info=True)
        left_s = self._left_s - (self._clock() - began_s)
        self._left_s = self._policy.shutdown_timeout_s if made_it else max(0.0, left_s)

    def _in_child(self) -> None:
        # multiprocessing's children end with os._exit after running their finalizers.
        multiprocessing.util.Finalize(None, self._flush_quietly, exitpriority=_EARLY)

    def _chain(self, number: signal.Signals) -> None:
        if threading.current_thread() is not threading.main_thread():
            return  # only the main thread may; the lifespan and atexit remain
        previous = signal.getsignal(number)
        if previous in (signal.SIG_IGN, None):
            return

        def handle(signum: int, frame: FrameType | None) -> None:
            self._flush_quietly()
            if callable(previous):
                previous(signum, frame)
            else:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)

        signal.signal(number, handle)
