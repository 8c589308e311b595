"""An acknowledged audit entry is in the database once, despite killed writers and databases.

Eight processes record entries, while the database is killed and restarted twice (SQLite, which has no
server, is locked away twice) and two of the writers are killed with SIGKILL and started again.
`make chaos` is 10,000 entries a process (`MITA_TEST_CHAOS_ENTRIES`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest

from audit.kit import KEY, Kit
from e2e.service import clean_environment
from mita_otel.audit.verification.verify import verify
from postgresql_server import PostgresServer, running_postgresql

pytestmark = pytest.mark.e2e

WRITERS = 8
ENTRIES = int(os.environ.get("MITA_TEST_CHAOS_ENTRIES", "600"))
_PATIENCE_S = 1800
"""Long enough for a busy machine; a hang takes longer."""

WRITER = """
import os, sys
from mita_otel import record_audit_event
from mita_otel.audit.installed import LazyAudit, install
from mita_otel.audit.runtime import AuditRuntime
from mita_otel.policy import load_policy
from mita_otel.redaction import Redactor

writer, first, last = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
policy = load_policy(environment="test")
runtime = AuditRuntime(policy, Redactor(policy.redaction), environment="test", service="chaos", env=os.environ)
install(LazyAudit(lambda: runtime))
runtime.trail.start()
acknowledged = os.open(f"acknowledged-{writer}", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
for number in range(first, last):
    receipt = record_audit_event("test", user_id=f"{writer}-{number}", details={"writer": writer, "number": number})
    os.write(acknowledged, f"{number} {receipt.chain} {receipt.sequence} {receipt.mac}\\n".encode())
sys.stdin.read()
runtime.trail.flush(1000)
runtime.close()
"""
"""The code of a writer; it ends on command, so that no writer ends before it can be killed."""


class Writers:
    """The writer processes, and the entries that they acknowledged."""

    def __init__(self, folder: Path, env: dict[str, str]) -> None:
        self._folder = folder
        self._env = clean_environment(env)
        self.processes = {writer: self._start(writer, 0) for writer in range(WRITERS)}
        self.killed: list[int] = []

    def _start(self, writer: int, first: int) -> subprocess.Popen[bytes]:
        log = (self._folder / f"log-{writer}").open("ab")
        with closing(log):
            return subprocess.Popen(
                [sys.executable, "-c", WRITER, str(writer), str(first), str(ENTRIES)],
                cwd=self._folder,
                env=self._env,
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
            )

    def acknowledged(self, writer: int) -> list[list[str]]:
        path = self._folder / f"acknowledged-{writer}"
        text = path.read_text() if path.exists() else ""
        return [line.split() for line in text.splitlines(keepends=True) if line.endswith("\n")]

    def progress(self) -> float:
        """Return the fraction of acknowledged entries, from the size of the files."""
        line = 4 + 1 + 32 + 1 + 5 + 1 + 64 + 1
        paths = [self._folder / f"acknowledged-{writer}" for writer in range(WRITERS)]
        return sum(path.stat().st_size for path in paths if path.exists()) / line / (WRITERS * ENTRIES)

    def wait_until(self, part: float) -> None:
        pause = threading.Event()
        while self.progress() < part:
            for writer, process in self.processes.items():
                assert process.poll() is None, (self._folder / f"log-{writer}").read_text()
            pause.wait(0.02)

    def kill_one_and_start_it_again(self) -> None:
        """Kill the writer with the fewest entries, once it has written one."""
        others = [writer for writer in range(WRITERS) if writer not in self.killed]
        victim = min(others, key=lambda writer: len(self.acknowledged(writer)))
        pause = threading.Event()
        while not (acknowledged := self.acknowledged(victim)):
            assert self.processes[victim].poll() is None, (self._folder / f"log-{victim}").read_text()
            pause.wait(0.02)
        with self.processes[victim] as killed:
            killed.kill()
        assert killed.returncode == -signal.SIGKILL
        acknowledged = self.acknowledged(victim)
        self.processes[victim] = self._start(victim, int(acknowledged[-1][0]) + 1)
        self.killed.append(victim)

    def finish(self) -> None:
        for process in self.processes.values():
            assert process.stdin is not None
            process.stdin.close()
        for writer, process in self.processes.items():
            assert process.wait(_PATIENCE_S) == 0, (self._folder / f"log-{writer}").read_text()

    def kill(self) -> None:
        for process in self.processes.values():
            with process:
                process.kill()  # has no effect on an ended process


@contextmanager
def locked_sqlite(path: Path) -> Iterator[None]:
    with closing(sqlite3.connect(path, isolation_level=None, timeout=60)) as connection:
        connection.execute("BEGIN EXCLUSIVE")
        yield
        connection.execute("ROLLBACK")


@contextmanager
def killed_postgresql(server: PostgresServer) -> Iterator[None]:
    postmaster = psutil.Process(server.pid)
    children = postmaster.children(recursive=True)
    postmaster.send_signal(signal.SIGKILL)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):  # ended with its postmaster
            child.send_signal(signal.SIGKILL)
    psutil.wait_procs([postmaster, *children], timeout=_PATIENCE_S)
    yield
    server.start()


def prove(folder: Path, url: str, disturbed: Callable[[], Any]) -> None:
    env = {
        "MITA_OTEL_DATABASE_URL": url,
        "MITA_OTEL_AUDIT_KEY": KEY,
        "MITA_OTEL_AUDIT_SPOOL": str(folder / "spool"),
        "MITA_OTEL_AUDIT_ANCHORS": str(folder / "anchors.jsonl"),
        "MITA_OTEL_AUDIT__MOVER__RETRY_MAX_S": "1",
        "MITA_OTEL_AUDIT__MOVER__ADOPT_S": "2",
        "MITA_OTEL_STORE__LOCK_TIMEOUT_S": "0.5",
        "MITA_OTEL_AUDIT__SPOOL__SEGMENT_S": "5",
        "MITA_OTEL_AUDIT__SPOOL__SEGMENT_KILOBYTES": "512",
    }
    writers = Writers(folder, env)
    try:
        for part in (0.1, 0.5):
            writers.wait_until(part)
            with disturbed():
                writers.wait_until(part + 0.1)  # writers do not wait for the database
                writers.kill_one_and_start_it_again()
                writers.wait_until(part + 0.2)
        writers.finish()
    finally:
        writers.kill()

    with closing(Kit(folder, url=url)) as kit:
        kit.mover().adopt()  # adopts chains of killed writers that are still spooled
        assert kit.folder.segments() == []
        assert kit.folder.owners() == []

        rows = kit.rows("chain, sequence, mac, user_id", "event_type = 'test'")
        stored = {(chain, str(sequence)): (mac, user) for chain, sequence, mac, user in rows}
        assert len(stored) == len(rows)
        count = 0
        for writer in range(WRITERS):
            for number, chain, sequence, mac in writers.acknowledged(writer):
                assert stored[chain, sequence] == (mac, f"{writer}-{number}")
                count += 1
        assert count == WRITERS * ENTRIES
        # The last entry of a killed writer may be on disk without an acknowledgement.
        assert count <= len(rows) <= count + 2
        twice = [user for user, times in Counter(user for *_, user in rows).items() if times > 1]
        assert len(twice) <= 2

        result = verify(kit.database, kit.keys, anchors=kit.anchors(), spool=kit.folder)
        assert [str(one) for one in result.findings] == []
        assert result.chains == WRITERS + 2
        # Each chain has a start entry; each except those of killed writers has a stop entry.
        assert result.entries - len(rows) - 2 * (WRITERS + 2) == WRITERS


def test_acknowledged_entries_are_stored_once_on_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "mita-otel.db"
    prove(tmp_path, f"sqlite:///{path}", lambda: locked_sqlite(path))


def test_acknowledged_entries_are_stored_once_on_postgresql(tmp_path: Path) -> None:
    with running_postgresql() as server:
        prove(tmp_path, server.url, lambda: killed_postgresql(server))
