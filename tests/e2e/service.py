"""Starts a service as its users do: `opentelemetry-instrument uvicorn app:app`, in a separate process."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from time import monotonic
from typing import IO, Literal

import httpx

Launcher = Literal["single", "workers", "gunicorn", "preload", "reload", "script"]
LAUNCHERS: tuple[Launcher, ...] = ("single", "workers", "gunicorn", "preload", "reload")
SEVERAL: tuple[Launcher, ...] = ("workers", "gunicorn", "preload")
"""Launchers that start two workers."""

BIN = Path(sys.executable).parent
_QUIET = ["--no-access-log"]
_UVICORN = ["uvicorn", "app:app", "--host", "127.0.0.1", "--port", "0", *_QUIET]
_GUNICORN = [
    *("gunicorn", "app:app", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:0", "-w", "2"),
    *("--no-control-socket", "--graceful-timeout", "10"),
]
_COMMANDS: dict[Launcher, list[str]] = {
    "single": _UVICORN,
    "workers": [*_UVICORN, "--workers", "2"],
    "reload": [*_UVICORN, "--reload"],
    "gunicorn": _GUNICORN,
    "preload": [*_GUNICORN, "--preload"],
    # It runs a server itself, and prints uvicorn's line when it has started.
    "script": ["python", "app.py"],
}
UNUSED_LIBRARIES = {"OTEL_PYTHON_DISABLED_INSTRUMENTATIONS": "aiohttp-client,celery,flask"}
"""Installed libraries that the plain service does not use: they take a third of its start time."""
_PORT = re.compile(r"(?:running on|Listening at:) http://127\.0\.0\.1:(\d+)")
_STARTED = "Application startup complete"


def clean_environment(extra: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return this process's environment without any setting of telemetry, plus `extra`.

    Every trace is kept, unless `extra` says otherwise (None: as if it were not set): production's default would
    drop nine of ten. A machine that is busy makes no span of a check-out that others do not see.
    """
    ours = (
        "OTEL_",
        "MITA_",
        "SENTRY_",
        "SLACK_",
        "PAGERDUTY_",
        "ENVIRONMENT",
        "PYTEST_",
        "PYTHONPATH",
        "PYTHONWARNINGS",
    )
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    kept["PYTHONUNBUFFERED"] = "1"
    kept["MITA_OTEL_SAMPLING__MODE"] = "always"
    kept["MITA_OTEL_THRESHOLDS__CHECKOUT__LIMIT_MS"] = "60000"
    kept["PATH"] = f"{BIN}{os.pathsep}{kept.get('PATH', '')}"
    return {name: value for name, value in {**kept, **(extra or {})}.items() if value is not None}


def _with_access_log(command: list[str]) -> list[str]:
    if command[0] == "gunicorn":
        return [*command, "--access-logfile", "-"]
    return [word for word in command if word not in _QUIET]


class Output:
    """Reads lines of a stream on a thread, and can wait for a line."""

    def __init__(self, stream: IO[str], changed: threading.Condition) -> None:
        self.lines: list[str] = []
        self._stream = stream
        self._changed = changed
        self.ended = False
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        for line in self._stream:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.ended = True
            self._changed.notify_all()

    def join(self, timeout: float = 60) -> None:
        self._thread.join(timeout)

    @property
    def text(self) -> str:
        with self._changed:
            return "\n".join(self.lines)


class Service:
    """A started application from `folder`.

    Args:
        folder: Where `app.py` is; the working directory.
        env: Settings; nothing of telemetry's is inherited. The instrumentations of `UNUSED_LIBRARIES` are off,
            unless the settings say otherwise (None: every one is on, as for users).
        launcher: How it is started.
        instrument: Whether `opentelemetry-instrument` starts it.
        python_bin: Folder of the commands; another virtual environment's, perhaps.
        access_log: Whether the server writes its access log, as uvicorn does by default.
    """

    def __init__(
        self,
        folder: Path,
        env: Mapping[str, str | None] | None = None,
        *,
        launcher: Launcher = "single",
        instrument: bool = True,
        python_bin: Path = BIN,
        access_log: bool = False,
    ) -> None:
        command = _with_access_log(_COMMANDS[launcher]) if access_log else list(_COMMANDS[launcher])
        command[0] = str(python_bin / command[0])
        if instrument:
            env = {**UNUSED_LIBRARIES, **(env or {})}
            command.insert(0, str(python_bin / "opentelemetry-instrument"))
        self.launcher: Launcher = launcher
        self.changed = threading.Condition()
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env=clean_environment(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self.stdout = Output(self.process.stdout, self.changed)
        self.stderr = Output(self.process.stderr, self.changed)
        try:
            self.port = int(self._wait_for_text(_PORT, "its port"))
            self.wait_for(self._all_started, "every process has started")
            self._wait_until_it_listens()
        except BaseException:
            self.kill()
            raise
        # A new connection for each request: any worker may accept it, and uvicorn, which closes a
        # connection after an unhandled error, does not affect later requests.
        headers = {"connection": "close"}
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=60, headers=headers)

    # -- waiting ----------------------------------------------------------------------------------------
    def wait_for(self, predicate: Callable[[], object], what: str, timeout: float = 60) -> None:
        with self.changed:
            met = self.changed.wait_for(lambda: predicate() or self._dead, timeout)
        if not met or not predicate():
            raise AssertionError(f"waited for: {what}. The service said:\n{self.said}")

    def _wait_until_it_listens(self, timeout: float = 60) -> None:
        """A worker logs that it has started, then listens on the socket that its parent bound."""
        deadline = monotonic() + timeout
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout).close()
                return
            except ConnectionRefusedError:
                if self._dead or monotonic() > deadline:
                    raise AssertionError(f"it does not listen. The service said:\n{self.said}") from None
                threading.Event().wait(0.01)

    def _all_started(self) -> bool:
        return sum(_STARTED in line for line in self.stderr.lines) >= (2 if self.launcher in SEVERAL else 1)

    def _wait_for_text(self, pattern: re.Pattern[str], what: str) -> str:
        found: list[str] = []

        def look() -> bool:
            match = pattern.search("\n".join(self.stderr.lines))
            found[:] = [match.group(1)] if match else []
            return bool(match)

        self.wait_for(look, what)
        return found[0]

    @property
    def _dead(self) -> bool:
        return self.stderr.ended and self.stdout.ended

    @property
    def said(self) -> str:
        return f"--- stdout\n{self.stdout.text[-6000:]}\n--- stderr\n{self.stderr.text[-6000:]}"

    # -- ending -----------------------------------------------------------------------------------------
    def stop(self, how: Literal["SIGTERM", "CTRL_C"] = "SIGTERM", timeout: float = 60) -> int:
        """End the service like an orchestrator (SIGTERM to the process) or a terminal (SIGINT to the group).

        Returns:
            The exit code.
        """
        self.client.close()
        if how == "SIGTERM":
            self.process.send_signal(signal.SIGTERM)
        else:
            os.killpg(self.process.pid, signal.SIGINT)
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            said = self.said
            self.kill()
            raise AssertionError(f"the service did not end within {timeout} s of {how}:\n{said}") from None
        self.stdout.join()
        self.stderr.join()
        return code

    def kill(self) -> None:
        """Kill the whole process group in any state."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(60)
        self.stdout.join()
        self.stderr.join()
        for stream in (self.process.stdout, self.process.stderr):
            if stream is not None:
                stream.close()
        if hasattr(self, "client"):
            self.client.close()
