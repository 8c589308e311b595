"""Errors of settings, and exceptions that belong to the application."""

from __future__ import annotations

import os
import threading
from typing import Final


class ConfigurationError(Exception):
    """A setting cannot be used.

    `configure(strict=True)` raises it; without `strict` its message is logged once and the service runs on
    with the nearest safe behaviour.
    """


_OF_SIGNALS: Final = (KeyboardInterrupt, SystemExit, GeneratorExit)


def raise_interrupt(error: BaseException) -> None:
    """Raise an exception again if it is meant for the application and not for the code that it interrupted.

    A signal handler raises on the main thread, in whatever code runs there, and gevent ends a greenlet in the same way.
    Every other exception is a failure of the code that was called: a cancellation, a timeout or a Rust panic as well.

    Args:
        error: The exception that was caught.
    """
    # Under gevent the main thread runs greenlets, which are threads to `threading`; on Linux its id is the process's.
    on_main_thread = (
        threading.current_thread() is threading.main_thread() or threading.get_native_id() == os.getpid()
    )
    if (on_main_thread and isinstance(error, _OF_SIGNALS)) or type(error).__name__ == "GreenletExit":
        raise error
