"""Runs the example as a user does: `opentelemetry-instrument uvicorn app:app`, in a separate process."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Self

HERE = Path(__file__).parent
_PORT = re.compile(r"running on (http://127\.0\.0\.1:\d+)")
_SETTINGS = ("OTEL_", "MITA_", "SENTRY_", "ENVIRONMENT", "DATABASE_URL")


class ServiceError(Exception):
    """The service did not start or stop. The message contains the end of its log."""


class Service:
    """Starts the service on a free port, and stops it with SIGTERM, as an orchestrator does.

    Args:
        folder: Folder for its database and its log.
        spans_file: File that its `file` exporter writes.
        ready_within_s: Seconds to wait for the service to start.
    """

    COMMAND = "opentelemetry-instrument uvicorn app:app"

    def __init__(self, folder: Path, spans_file: Path, *, ready_within_s: float = 30) -> None:
        self.url = ""
        self._log = folder / "service.log"
        self._ready_within_s = ready_within_s
        self._process: subprocess.Popen[bytes] | None = None
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_SETTINGS)},
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
            "PYTHONUNBUFFERED": "1",
            "ENVIRONMENT": "production",
            "DATABASE_URL": f"sqlite:///{folder / 'payments.db'}",
            "OTEL_SERVICE_NAME": "payments",
            "OTEL_TRACES_EXPORTER": "file",
            "MITA_OTEL_FILE": str(spans_file),
            # Production keeps a tenth of the healthy traces; the demo shows all of them.
            "MITA_OTEL_SAMPLING__MODE": "always",
            # A span for each step of a request. Off in production; the pictures need them.
            "MITA_OTEL_INSTRUMENTATION__FASTAPI_OPERATION_SPANS": "true",
        }

    def __enter__(self) -> Self:
        command = [*self.COMMAND.split(), "--port", "0", "--no-access-log"]
        if shutil.which(command[0], path=self._env["PATH"]) is None:
            raise ServiceError(
                f"{command[0]} is not installed; it comes with mita-otel: pip install mita-otel"
            )
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, cwd=HERE, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        try:
            self._wait_until_ready()
        except BaseException:
            self._kill()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._kill()
            if error is None:
                raise ServiceError(
                    f"the service did not stop within 15 s of SIGTERM\n{self._log_end()}"
                ) from None

    def _wait_until_ready(self) -> None:
        assert self._process is not None  # noqa: S101 - for the type checker
        deadline = time.monotonic() + self._ready_within_s
        while time.monotonic() < deadline:
            found = _PORT.search(self._log.read_text("utf-8", "replace"))
            if found is not None:
                self.url = found.group(1)
                return
            if self._process.poll() is not None:
                raise ServiceError(
                    f"the service stopped during its start, with exit status {self._process.returncode}. "
                    f"Its log:\n{self._log_end()}"
                )
            time.sleep(0.05)
        raise ServiceError(
            f"the service was not ready within {self._ready_within_s:g} s. Its log:\n{self._log_end()}"
        )

    def _log_end(self) -> str:
        lines = self._log.read_text("utf-8", "replace").splitlines()
        return "\n".join(f"    {line}" for line in lines[-15:]) or "    (nothing)"

    def _kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
