"""Flushes before a signal ends the process, whichever thread configured telemetry, and under gevent as well."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from types import FrameType
from typing import Final

from mita_otel.instrumentation.patches import Patches
from mita_otel.sdk.main_thread import MainThreadCall, runs_in_hub

_ENDING: Final = ("SIGTERM", "SIGHUP")
"""Signals that end a process by default. Ctrl-C needs no handler: `atexit` runs after it."""

Handler = Callable[[int, FrameType | None], object]


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
