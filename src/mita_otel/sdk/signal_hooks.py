"""Flushes before a signal ends the process, whichever thread configured telemetry, and under gevent as well.

Python sets signal handlers on the main thread only, so another thread makes the main thread set them.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable
from types import FrameType, ModuleType
from typing import Any, Final

from mita_otel.instrumentation.patches import Patches

_ENDING: Final = ("SIGTERM", "SIGHUP")
"""Signals that end a process by default. Ctrl-C needs no handler: `atexit` runs after it."""

Handler = Callable[[int, FrameType | None], object]
_logger = logging.getLogger("mita_otel")
_PENDING_CALL: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p)
_NOTICED_S: Final = 0.2
"""Seconds after which a main thread that has not run the function is taken for blocked."""
_WOKEN_S: Final = 1.0


class SignalHooks:
    """Calls a function before the handlers of the signals that end a process.

    Args:
        flush: The function.
        active: Returns whether telemetry still runs.
    """

    def __init__(self, flush: Callable[[], None], active: Callable[[], bool]) -> None:
        self._flush = flush
        self._active = active

    def install(self, patches: Patches) -> None:
        """Set the handlers now, or as soon as the main thread runs Python code: other threads may not set them."""
        self._patches = patches
        try:
            self._set_handlers()
        except ValueError:
            # It is kept with the patches, since the interpreter does not keep the callback.
            self._call = MainThreadCall(self._set_handlers)
            self._call.start()

    def _set_handlers(self) -> None:
        if not self._patches.active:
            return
        for name in _ENDING:
            if hasattr(signal, name):
                self._chain(signal.Signals[name])

    def _chain(self, number: signal.Signals) -> None:
        """Flush before the handler that is there now. An ignored signal stays ignored."""
        previous = signal.getsignal(number)
        if previous in (signal.SIG_IGN, None):
            return

        def end(signum: int, frame: FrameType | None) -> None:
            if self._active():
                self._flush()
            if callable(previous):
                previous(signum, frame)
            else:
                signal.signal(signum, signal.SIG_DFL)
                os.kill(os.getpid(), signum)

        def handle(signum: int, frame: FrameType | None) -> None:
            gevent = sys.modules.get("gevent")
            if gevent is not None and runs_in_hub(gevent):
                gevent.spawn(end, signum, frame)
            else:
                end(signum, frame)

        def restore() -> None:
            try:
                if signal.getsignal(number) is handle:
                    signal.signal(number, previous)
            except ValueError:
                pass  # not the main thread: the handler stays and calls the previous one

        signal.signal(number, handle)
        self._patches.add(restore)


class MainThreadCall:
    """Runs a function once on the main thread, as soon as that runs Python code.

    It uses `Py_AddPendingCall` of Python's C interface. A main thread that is blocked, for example in `join()`, is
    interrupted for a moment by a signal. Without that interface, as on PyPy, nothing happens.

    Args:
        call: The function. It must not raise.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call
        self._done = threading.Event()
        self._callback = _PENDING_CALL(self._run)  # the interpreter keeps no reference to it

    def start(self) -> None:
        """Request the call, and return at once."""
        api = getattr(ctypes, "pythonapi", None)
        if not hasattr(api, "Py_AddPendingCall"):
            return
        if ctypes.pythonapi.Py_AddPendingCall(self._callback, None) == 0:
            threading.Thread(target=self._wake, name="mita-otel-signals", daemon=True).start()

    def _run(self, _: object) -> int:
        if not self._done.is_set():
            self._done.set()
            self._call()
        return 0

    def _wake(self) -> None:
        """Interrupt the main thread if it is blocked, by a signal whose default action is to do nothing."""
        if self._done.wait(_NOTICED_S) or sys.platform == "win32" or "gevent" in sys.modules:
            return  # gevent replaces the ids of threads
        api: Any = ctypes.pythonapi
        api.PyOS_getsig.restype = ctypes.c_void_p
        api.PyOS_setsig.argtypes, api.PyOS_setsig.restype = [ctypes.c_int, ctypes.c_void_p], ctypes.c_void_p
        # Python's own handler in C, which interrupts a blocked thread and lets it run pending calls.
        handler = api.PyOS_getsig(signal.SIGINT)
        if signal.getsignal(signal.SIGINT) in (signal.SIG_DFL, signal.SIG_IGN, None):
            return
        if signal.getsignal(signal.SIGURG) is not signal.SIG_DFL:
            return
        hook = sys.unraisablehook
        # There is no handler in Python. Python reports that as an exception that nothing can catch.
        sys.unraisablehook = lambda unraisable: None if _is_ours(unraisable) else hook(unraisable)
        before = api.PyOS_setsig(signal.SIGURG, handler)
        try:
            ident = threading.main_thread().ident
            if ident is not None:
                signal.pthread_kill(ident, signal.SIGURG)
            self._done.wait(_WOKEN_S)
        finally:
            api.PyOS_setsig(signal.SIGURG, before)
            sys.unraisablehook = hook


def _is_ours(unraisable: Any) -> bool:
    return isinstance(unraisable.exc_value, OSError) and f"Signal {int(signal.SIGURG)} " in str(
        unraisable.exc_value
    )


def runs_in_hub(gevent: ModuleType | None) -> bool:
    """Return whether this code runs in gevent's hub, which must not wait for anything.

    Args:
        gevent: The module, if it is imported.
    """
    return gevent is not None and hasattr(gevent, "get_hub") and gevent.getcurrent() is gevent.get_hub()
