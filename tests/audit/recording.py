"""Events for tests of the trail, forks, and a disk that becomes full."""

from __future__ import annotations

import errno
import os

import pytest

from audit.kit import Kit, changed
from mita_otel import AuditEvent

PERMANENT = changed(audit__mover__delay_ms=3_600_000.0)
"""A policy with which nothing is moved without a flush."""


def event(number: int = 0) -> AuditEvent:
    return AuditEvent(event_type="test", user_id=f"u{number}", details={"n": number})


def numbers(made: Kit) -> list[int]:
    return sorted(int(n) for (n,) in made.rows("json_extract(body, '$.details.n')", "event_type = 'test'"))


def fork(child: object) -> int:
    """Run `child` in a fork; return its exit code."""
    pid = os.fork()
    if pid == 0:
        try:
            child()  # type: ignore[operator]
            os._exit(0)
        except BaseException:  # noqa: BLE001 - the child must never come back into pytest
            import traceback

            traceback.print_exc()
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


class FullDisk:
    """Writes `free_bytes` bytes, then raises that the disk is full."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.free_bytes: int | None = None
        self._write = os.write
        monkeypatch.setattr(os, "write", self.write)

    def write(self, descriptor: int, data: bytes) -> int:
        if self.free_bytes is None:
            return self._write(descriptor, data)
        if self.free_bytes == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = self._write(descriptor, data[: self.free_bytes])
        self.free_bytes -= written
        return written
