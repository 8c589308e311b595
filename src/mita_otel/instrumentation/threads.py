"""Threads, timers and thread pools inherit the OpenTelemetry context of the code that starts them or submits to them.

The context holds the active span, the user, the transaction and the request. It is captured when a thread starts and is
active while its `run()` runs, whichever class defines `run()`. `opentelemetry-instrumentation-threading` wraps
`Thread.run` itself: subclasses with their own `run()` then inherit nothing, nor does any thread beside sentry-sdk, whose
ThreadingIntegration calls `run.__func__` and so skips the wrapper.
"""

from __future__ import annotations

import _thread
import logging
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import wraps
from types import ModuleType
from typing import Any, Final

from opentelemetry.context import Context, attach, detach, get_current

_logger: Final = logging.getLogger(__name__)
_CONTRIB: Final = "opentelemetry.instrumentation.threading"


class ThreadInstrumentation:
    """Context propagation into threads.

    `install()` patches `threading.Thread.start`, `ThreadPoolExecutor.submit` and `_thread.start_new_thread`; `remove()` takes
    the patches back. A patch that another library has wrapped since stays where it is and does nothing any more.
    """

    def __init__(self) -> None:
        self._active = False
        self._patches: list[tuple[type | ModuleType, str, object, object]] = []

    def install(self) -> None:
        """Patch them, unless the contrib package has done so."""
        if self._active or _contrib_is_active():
            return
        self._active = True
        self._patch(threading.Thread, "start", self._starting(threading.Thread.start))
        self._patch(ThreadPoolExecutor, "submit", self._submitting(ThreadPoolExecutor.submit))
        # `threading` took its own reference when it was imported, so its threads are not wrapped twice.
        self._patch(_thread, "start_new_thread", self._starting_low_level(_thread.start_new_thread))

    def remove(self) -> None:
        """Restore them."""
        self._active = False
        while self._patches:
            owner, name, original, ours = self._patches.pop()
            if vars(owner)[name] is ours:
                setattr(owner, name, original)

    def _patch(self, owner: type | ModuleType, name: str, ours: object) -> None:
        # From the class's dictionary: attribute access may return another object each time.
        self._patches.append((owner, name, vars(owner)[name], ours))
        setattr(owner, name, ours)

    def _starting(self, original: Callable[..., None]) -> Callable[..., None]:
        @wraps(original)
        def start(thread: threading.Thread, *args: Any, **kwargs: Any) -> None:
            context = get_current() if self._active else None
            if not context:
                return original(thread, *args, **kwargs)
            _run_within(context, thread)
            try:
                return original(thread, *args, **kwargs)
            except BaseException:
                vars(thread).pop("run", None)  # it did not start
                raise

        return start

    def _submitting(self, original: Callable[..., Future[Any]]) -> Callable[..., Future[Any]]:
        @wraps(original)
        def submit(
            pool: ThreadPoolExecutor, fn: Callable[..., Any], /, *args: Any, **kwargs: Any
        ) -> Future[Any]:
            context = get_current() if self._active else None
            if not context or _runs_in_interpreters(pool):
                return original(pool, fn, *args, **kwargs)
            # A worker that starts now outlives this call: it must not keep the context.
            token = attach(Context())
            try:
                return original(pool, _within(context, fn), *args, **kwargs)
            finally:
                detach(token)

        return submit

    def _starting_low_level(self, original: Callable[..., int]) -> Callable[..., int]:
        @wraps(original)
        def start_new_thread(function: Callable[..., Any], *args: Any) -> int:
            context = get_current() if self._active else None
            return original(_to_the_end(context, function) if context else function, *args)

        return start_new_thread


def _within(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        token = attach(context)
        try:
            return function(*args, **kwargs)
        finally:
            detach(token)

    return call


def _to_the_end(context: Context, function: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function of a new thread, to be called within a context.

    The context stays active if an exception ends the thread: `threading.excepthook` and sentry-sdk report it afterwards.
    """

    def call(*args: Any, **kwargs: Any) -> Any:
        token = attach(context)
        result = function(*args, **kwargs)
        detach(token)
        return result

    return call


def _run_within(context: Context, thread: threading.Thread) -> None:
    """Let the thread's `run()` run within the context.

    The wrapper is an attribute of the thread, so that it wraps the `run()` of any subclass. It takes and ignores arguments:
    sentry-sdk passes the thread, since it expects a function of the class.
    """
    try:
        run = _to_the_end(context, thread.run)

        def run_once(*_: Any) -> None:
            vars(thread).pop("run", None)  # else the thread would refer to itself until it is collected
            run()

        thread.run = run_once  # type: ignore[method-assign]
    except Exception:
        _logger.debug("a thread could not inherit the context", exc_info=True)


def _contrib_is_active() -> bool:
    module = sys.modules.get(_CONTRIB)
    return module is not None and bool(module.ThreadingInstrumentor().is_instrumented_by_opentelemetry)


def _runs_in_interpreters(pool: ThreadPoolExecutor) -> bool:
    """Return whether the pool runs its work in other interpreters, which take no closures (Python 3.14 and later)."""
    module = sys.modules.get("concurrent.futures.interpreter")
    return module is not None and isinstance(pool, module.InterpreterPoolExecutor)
