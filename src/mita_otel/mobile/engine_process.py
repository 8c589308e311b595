"""Runs the engine in a child process, so that it does not slow the application's routes.

Decompressing and redacting an envelope takes some ten milliseconds, in which no other thread of the process runs.
The child is a new interpreter, never a fork. It ends with its parent, and is restarted if it ends early.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from multiprocessing.connection import Connection
from typing import Any, Final

from mita_otel.errors import raise_interrupt
from mita_otel.mobile.destinations import store_destinations
from mita_otel.mobile.engine import Engine, EngineGoneError
from mita_otel.mobile.preparation import Intake
from mita_otel.mobile.reply import EngineStatus, Reply
from mita_otel.policy import Policy
from mita_otel.redaction import Redactor

_logger = logging.getLogger("mita_otel.mobile")

_CODE: Final = (
    "import sys; sys.path[:] = {path!r}; from mita_otel.mobile.engine_process import main; main({fd})"
)
_GRACE_S: Final = 1.0
"""Extra seconds for a child to end."""
_RESTART_S: Final = 1.0
"""Minimum seconds between two starts."""


class ProcessRunner:
    """Runs an engine in a child process; thread-safe.

    Args:
        policy: The policy.
    """

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._sending = ThreadPoolExecutor(1, thread_name_prefix="mita-otel-mobile-send")
        self._child: _Child | None = None
        self._started_at = float("-inf")
        self._stopping = False

    def submit(self, intake: Intake) -> Future[Reply]:
        """Let the engine take a request."""
        return self._ask("take", intake)

    def status(self) -> EngineStatus | None:
        """Return what happened since the last time; None: the engine is gone."""
        try:
            status: EngineStatus = self._ask("status", None).result(
                self._policy.mobile.intake.answer_timeout_s
            )
        except (EngineGoneError, TimeoutError):
            return None
        return status

    def flush(self, timeout_s: float) -> bool:
        """Wait until nothing is left that may go now. False if that took too long."""
        return self._finish("flush", timeout_s)

    def stop(self, timeout_s: float) -> bool:
        """Flush, then end. False if that took too long."""
        with self._lock:
            self._stopping, child = True, self._child
        if child is None:
            return True
        stopped = self._finish("stop", timeout_s)
        child.end(_GRACE_S)
        self._sending.shutdown(wait=False, cancel_futures=True)
        return stopped

    @property
    def pid(self) -> int | None:
        """The child's process id. None: no child runs."""
        child = self._child
        return child.process.pid if child is not None else None

    def _finish(self, verb: str, timeout_s: float) -> bool:
        with self._lock:
            if self._child is None or self._child.gone:
                return True
        try:
            return bool(self._ask(verb, timeout_s).result(timeout_s + _GRACE_S))
        except (EngineGoneError, TimeoutError):
            return False

    def _ask(self, verb: str, argument: Any) -> Future[Any]:
        future: Future[Any] = Future()
        # It cannot be cancelled from now on: a caller that stops waiting just ignores it.
        future.set_running_or_notify_cancel()

        def send() -> None:
            try:
                self._alive().send((next(self._numbers), verb, argument), future)
            except BaseException as error:  # noqa: BLE001 - the caller waits for the future whatever fails
                future.set_exception(EngineGoneError(str(error) or type(error).__name__))

        try:
            self._sending.submit(send)
        except RuntimeError:  # the runner was stopped, or the interpreter is shutting down
            future.set_exception(EngineGoneError("the gateway is ending"))
        return future

    def _alive(self) -> _Child:
        with self._lock:
            if self._child is not None and not self._child.gone:
                return self._child
            if self._stopping:
                raise EngineGoneError("the gateway is ending")
            now = time.monotonic()
            if now - self._started_at < _RESTART_S:
                raise EngineGoneError("the engine has just ended")
            if self._child is not None:
                _logger.error("the mobile gateway's process ended (%s) and is restarted", self._child.end(0))
            self._started_at = now
            self._child = _Child(self._policy)
            return self._child


class _Child:
    """One child process with its pending questions."""

    def __init__(self, policy: Policy) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            code = _CODE.format(path=sys.path, fd=theirs.fileno())
            self.process = subprocess.Popen(  # noqa: S603 - our own code in our own interpreter
                [sys.executable, "-I", "-c", code],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # the parent handles Ctrl-C of the terminal
            )
        self.gone = False
        self._socket = ours
        self._connection: Connection[Any, Any] = Connection(os.dup(ours.fileno()))
        self._waiting: dict[int, Future[Any]] = {}
        self._lock = threading.Lock()
        self._connection.send(policy)
        threading.Thread(target=self._read, name="mita-otel-mobile-read", daemon=True).start()

    def send(self, question: tuple[int, str, Any], future: Future[Any]) -> None:
        """Send a question. If this raises, the caller completes the future; otherwise the reply does."""
        with self._lock:
            if self.gone:
                raise EngineGoneError("the engine has ended")
            self._waiting[question[0]] = future
        try:
            self._connection.send(question)
        except (OSError, ValueError):
            with self._lock:
                ours = self._waiting.pop(question[0], None) is not None
            if ours:
                raise

    def end(self, timeout_s: float) -> str:
        """Close the connection, which ends the child. Returns how it ended."""
        with contextlib.suppress(OSError):
            # Closing alone would wait for the reading thread.
            self._socket.shutdown(socket.SHUT_RDWR)
        try:
            return f"exit {self.process.wait(timeout_s)}"
        except subprocess.TimeoutExpired:
            self.process.kill()
            return f"exit {self.process.wait()}"

    def _read(self) -> None:
        try:
            while True:
                number, answer = self._connection.recv()
                with self._lock:
                    future = self._waiting.pop(number, None)
                if future is not None:
                    future.set_result(answer)
        except (EOFError, OSError):
            pass
        except BaseException:  # an unreadable answer: the child is restarted
            _logger.exception("the mobile gateway could not read an answer of its engine")
        finally:
            with self._lock:
                self.gone = True
                left, self._waiting = self._waiting, {}
            for future in left.values():
                future.set_exception(EngineGoneError("the engine has ended"))
            self._connection.close()
            self._socket.close()


def main(descriptor: int) -> None:
    """Run an engine until the parent closes the connection. Entry point of the child."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(format="%(levelname)s %(name)s %(message)s")
    connection: Connection[Any, Any] = Connection(descriptor)
    policy: Policy = connection.recv()
    with contextlib.suppress(OSError):
        os.nice(policy.mobile.intake.niceness)
    engine = Engine(policy, Redactor(policy), os.environ, store_destinations(policy, os.environ))
    sending = threading.Lock()
    verbs: dict[str, Callable[[Any], Any]] = {
        "take": engine.take,
        "status": lambda _: engine.status(),
        "flush": engine.flush,
        "stop": engine.stop,
    }

    def work(number: int, verb: str, argument: Any) -> None:
        try:
            answer = verbs[verb](argument)
        except BaseException as error:
            raise_interrupt(error)
            _logger.exception("the mobile gateway's engine failed to %s", verb)
            answer = None
        with sending, contextlib.suppress(OSError):
            connection.send((number, answer))

    # One thread more than requests, so that status and stop do not wait for them.
    with ThreadPoolExecutor(policy.mobile.intake.threads + 1) as pool:
        while True:
            try:
                question = connection.recv()
            except (EOFError, OSError):
                break
            pool.submit(work, *question)
    engine.stop(0)
